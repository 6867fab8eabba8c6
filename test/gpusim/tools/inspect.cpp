// SPDX-License-Identifier: Apache-2.0
#include "inspect.h"

#include <cstdio>

#include "driver/fatbin.h"
#include "driver/handles.h"
#include "driver/module.h"
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

}  // namespace

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
  return 0;
}

}  // namespace gpusim::tool
