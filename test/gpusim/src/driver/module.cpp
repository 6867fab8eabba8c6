// SPDX-License-Identifier: Apache-2.0
#include "module.h"

#include <algorithm>
#include <cstdlib>

#include "handles.h"

namespace gpusim {
namespace {

// The number after `.version`, times ten: 85 for 8.5. 0 when it cannot be read.
int ptxVersionOf(const std::string& ptx) {
  const size_t at = ptx.find(".version");
  if (at == std::string::npos) return 0;
  char* end = nullptr;
  const long major = std::strtol(ptx.c_str() + at + 8, &end, 10);
  if (*end != '.') return 0;
  return static_cast<int>(major * 10 + std::strtol(end + 1, nullptr, 10));
}

}  // namespace

std::shared_ptr<Function> LoadedModule::function(const std::string& name) {
  const Kernel* kernel = module->kernel(name);
  if (!kernel) return nullptr;
  std::lock_guard lock(mutex);
  std::unique_ptr<Function>& slot = functions[name];
  if (!slot) {
    slot = std::make_unique<Function>();
    slot->module = this;
    slot->kernel = kernel;
    slot->maxDynamicShared =
        std::max(0, context->device.description.model.sharedPerBlock - static_cast<int>(kernel->staticShared));
    handles<Function>().add(std::shared_ptr<Function>(shared_from_this(), slot.get()));
  }
  return std::shared_ptr<Function>(shared_from_this(), slot.get());
}

CUresult loadModule(const std::shared_ptr<Context>& context, const PtxSelection& selected,
                    std::shared_ptr<LoadedModule>& module, JitLog& log) {
  if (selected.status != CUDA_SUCCESS) {
    log.error = selected.log + "\n";
    return selected.status;
  }
  const int version = ptxVersionOf(selected.ptx);
  if (version > kNewestPtxVersion) {
    log.error = "PTX version " + std::to_string(version / 10) + "." + std::to_string(version % 10) +
                " is newer than 9.0, the newest that this driver knows\n";
    return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  }
  auto loaded = std::make_shared<LoadedModule>();
  loaded->context = context;
  const Status status = Module::load(context->device.state, selected.ptx, log, loaded->module);
  if (status != Status::Success) return static_cast<CUresult>(status);
  module = std::move(loaded);
  return CUDA_SUCCESS;
}

void removeFunctionsOf(const Context& context) {
  handles<Function>().removeIf([&](const Function& function) { return function.module->context.get() == &context; });
}

void removeFunctionsOf(const LoadedModule& module) {
  handles<Function>().removeIf([&](const Function& function) { return function.module == &module; });
}

CUresult Library::moduleIn(const std::shared_ptr<Context>& context, std::shared_ptr<LoadedModule>& module,
                           JitLog& log) {
  std::lock_guard lock(mutex);
  std::shared_ptr<LoadedModule>& slot = modules[context.get()];
  if (!slot) {
    const CUresult status = loadModule(context, images.at(context->device.target()), slot, log);
    if (status != CUDA_SUCCESS) {
      modules.erase(context.get());
      return status;
    }
    handles<LoadedModule>().add(slot);
  }
  module = slot;
  return CUDA_SUCCESS;
}

std::shared_ptr<LibraryKernel> Library::kernel(const std::string& name) {
  std::lock_guard lock(mutex);
  std::unique_ptr<LibraryKernel>& slot = kernels[name];
  if (!slot) {
    slot = std::make_unique<LibraryKernel>();
    slot->library = this;
    slot->name = name;
    handles<LibraryKernel>().add(std::shared_ptr<LibraryKernel>(shared_from_this(), slot.get()));
  }
  return std::shared_ptr<LibraryKernel>(shared_from_this(), slot.get());
}

void removeKernelsOf(const Library& library) {
  handles<LibraryKernel>().removeIf([&](const LibraryKernel& kernel) { return kernel.library == &library; });
}

void forgetLibraryModulesOf(const Context& context) {
  for (const auto& library : handles<Library>().all()) {
    std::lock_guard lock(library->mutex);
    library->modules.erase(&context);
  }
}

CUresult resolveFunction(const std::shared_ptr<Context>& context, const void* handle,
                         std::shared_ptr<Function>& function) {
  function = fromHandle<Function>(handle);
  if (function) return CUDA_SUCCESS;
  const auto kernel = fromHandle<LibraryKernel>(handle);
  if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
  JitLog log;
  std::shared_ptr<LoadedModule> module;
  const CUresult status = kernel->library->moduleIn(context, module, log);
  if (status != CUDA_SUCCESS) return status;
  function = module->function(kernel->name);
  return function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

}  // namespace gpusim
