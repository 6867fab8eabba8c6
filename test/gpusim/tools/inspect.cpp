// SPDX-License-Identifier: Apache-2.0
#include "inspect.h"

#include <cstdio>
#include <cstring>

#include "driver/fatbin.h"
#include "driver/handles.h"
#include "driver/module.h"
#include "driver/runtime.h"
#include "runner.h"

namespace gpusim::tool {
namespace {

const char* compressionName(FatbinCompression compression) {
  switch (compression) {
    case FatbinCompression::kLz4:
      return ", LZ4";
    case FatbinCompression::kZstd:
      return ", Zstandard";
    default:
      return "";
  }
}

void printEntries(const std::vector<uint8_t>& image) {
  const FatbinListing listing = listFatbin(image.data(), image.size());
  for (const FatbinEntry& entry : listing.entries) {
    const char* suffix = entry.architectureSpecific ? "a" : entry.familySpecific ? "f" : "";
    std::printf("fatbin entry: %s_%d%s, %zu bytes%s\n", entry.kind == FatbinKind::kPtx ? "PTX compute" : "cubin sm",
                entry.target, suffix, entry.data.size(), compressionName(entry.compression));
  }
}

void printKernel(const Kernel& kernel) {
  std::printf("kernel %s\n  registers %u (estimate), static shared %u, local %u, max threads %u\n", kernel.name.c_str(),
              kernel.registers, kernel.staticShared, kernel.localBytes, kernel.maxThreads);
  for (const KernelParameter& parameter : kernel.parameters)
    std::printf("  parameter %s: offset %u, size %u, alignment %u\n", parameter.name.c_str(), parameter.offset,
                parameter.size, parameter.align);
}

constexpr char kFatbinMagic[] = "\x50\xed\x55\xba";
constexpr char kElfMagic[] = "\177ELF";

bool startsWith(const std::vector<uint8_t>& image, size_t at, const char* magic) {
  return image.size() - at >= 4 && std::memcmp(image.data() + at, magic, 4) == 0;
}

// Where the images in a file begin: a program or library embeds fatbins at multiples of 8, other files are one image.
std::vector<size_t> imagesIn(const std::vector<uint8_t>& file) {
  if (!startsWith(file, 0, kElfMagic)) return {0};
  std::vector<size_t> found;
  for (size_t at = 0; at < file.size(); at += 8) {
    if (!startsWith(file, at, kFatbinMagic)) continue;
    const FatbinListing listing = listFatbin(file.data() + at, file.size() - at);
    if (listing.error.empty() && !listing.entries.empty()) found.push_back(at);
  }
  return found;
}

}  // namespace

int printPtx(const std::string& path) {
  const std::vector<uint8_t> file = readFile(path);
  const std::vector<size_t> images = imagesIn(file);
  Runner runner;
  int status = images.empty() ? 1 : 0;
  if (images.empty()) std::fprintf(stderr, "gpusim: %s embeds no fatbin\n", path.c_str());
  for (const size_t at : images) {
    const PtxSelection selected = selectPtx(file.data() + at, file.size() - at, devices().front()->target());
    if (selected.status != CUDA_SUCCESS) {
      std::fprintf(stderr, "gpusim: %s\n%s\n", nameOf(selected.status).c_str(), selected.log.c_str());
      status = 1;
    }
    std::printf("%s\n", selected.ptx.c_str());
  }
  return status;
}

int inspect(const std::string& path) {
  printEntries(readFile(path));
  Runner runner;
  CUmodule handle = nullptr;
  std::string log;
  const CUresult status = runner.load(path, handle, log);
  if (status != CUDA_SUCCESS) {
    std::fprintf(stderr, "gpusim: %s\n%s", nameOf(status).c_str(), log.c_str());
    return 1;
  }
  const auto module = fromHandle<LoadedModule>(handle);
  std::printf("PTX %d.%d for sm_%d\n", module->module->ptxIsaVersion() / 10, module->module->ptxIsaVersion() % 10,
              module->module->target());
  for (const auto& kernel : module->module->kernels()) printKernel(*kernel);
  for (const ModuleVariable& variable : module->module->variables())
    std::printf("variable %s: %llu bytes%s\n", variable.name.c_str(), static_cast<unsigned long long>(variable.size),
                variable.constant ? ", constant" : "");
  std::printf("%s", log.c_str());  // what the simulator does not implement
  return 0;
}

}  // namespace gpusim::tool
