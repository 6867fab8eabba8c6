// SPDX-License-Identifier: Apache-2.0
#include "gpu/kernel.h"

#include <cstring>

#include "core/error.h"
#include "gpu/embedded_modules.h"
#include "gpu/primary_context.h"

namespace pw::gpu {
namespace {

/// Dynamic shared memory that a launch may have without asking.
constexpr unsigned kSharedWithoutOptin = 48 * 1024;

const EmbeddedModule* find(const std::string& name) {
  for (const EmbeddedModule* module = kEmbeddedModules; module->name; ++module)
    if (name == module->name) return module;
  return nullptr;
}

}  // namespace

Modules::~Modules() {
  for (const auto& [name, module] : modules_) driver().moduleUnload(module);
}

CUmodule Modules::load(const std::string& name) {
  const auto found = modules_.find(name);
  if (found != modules_.end()) return found->second;
  const std::string device =
      primary_.properties().name + " (sm_" + std::to_string(primary_.properties().capability) + ")";
  const EmbeddedModule* image = find(name);
  if (!image) throw Error(PW_DEVICE_UNAVAILABLE, "this build has no device code for module " + name);
  CUmodule module = nullptr;
  const CUresult result = driver().moduleLoadData(&module, image->begin);
  if (PrimaryContext::isSticky(result)) primary_.check(result, "cuModuleLoadData");
  if (result != kCudaSuccess)
    throw Error(PW_DEVICE_UNAVAILABLE,
                "module " + name + " cannot be loaded on " + device + ": " + driver().describe(result));
  return modules_[name] = module;
}

const Kernel& Modules::kernel(const char* module, const char* entry) {
  std::unique_ptr<Kernel>& kernel = kernels_[{module, entry}];
  if (kernel) return *kernel;
  auto made = std::make_unique<Kernel>();
  made->module = module;
  made->entry = entry;
  const CUresult result = driver().moduleGetFunction(&made->function, load(module), entry);
  if (PrimaryContext::isSticky(result)) primary_.check(result, "cuModuleGetFunction");
  if (result != kCudaSuccess)
    throw Error(PW_DEVICE_UNAVAILABLE, "kernel " + made->entry + " of module " + made->module +
                                           " cannot be used on sm_" + std::to_string(primary_.properties().capability) +
                                           ": " + driver().describe(result));
  const auto read = [&](int* to, CUfunction_attribute attribute) {
    primary_.check(driver().functionGetAttribute(to, attribute, made->function), "cuFuncGetAttribute");
  };
  read(&made->registers, kFunctionRegisters);
  read(&made->staticShared, kFunctionStaticShared);
  read(&made->maxThreads, kFunctionMaxThreads);
  made->dynamicShared =
      kSharedWithoutOptin - std::min<unsigned>(kSharedWithoutOptin, static_cast<unsigned>(made->staticShared));
  kernel = std::move(made);
  return *kernel;
}

void Modules::allowShared(const Kernel& kernel, unsigned sharedBytes) {
  if (sharedBytes <= kernel.dynamicShared) return;
  const int limit = primary_.properties().sharedPerBlockOptin - kernel.staticShared;
  if (static_cast<int>(sharedBytes) > limit)
    throw Error(PW_UNSUPPORTED, "kernel " + kernel.entry + " needs " + std::to_string(sharedBytes) +
                                    " bytes of dynamic shared memory; " + primary_.properties().name + " has " +
                                    std::to_string(limit));
  primary_.check(
      driver().functionSetAttribute(kernel.function, kFunctionMaxDynamicShared, static_cast<int>(sharedBytes)),
      "cuFuncSetAttribute");
  kernel.dynamicShared = sharedBytes;
}

int Modules::residentBlocks(const Kernel& kernel, unsigned threads, unsigned sharedBytes) {
  const auto [entry, isNew] = occupancy_.try_emplace({kernel.function, threads, sharedBytes}, 0);
  if (isNew) {
    allowShared(kernel, sharedBytes);
    primary_.check(driver().occupancy(&entry->second, kernel.function, static_cast<int>(threads), sharedBytes),
                   "cuOccupancyMaxActiveBlocksPerMultiprocessor");
  }
  return entry->second;
}

}  // namespace pw::gpu
