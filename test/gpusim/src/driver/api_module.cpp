// SPDX-License-Identifier: Apache-2.0
// Modules: loading images, finding functions and variables.
#include <fstream>
#include <sstream>

#include "api.h"
#include "jit_options.h"
#include "module.h"

using namespace gpusim;

namespace {

CUresult load(CUmodule* out, const PtxSelection& selected, const std::shared_ptr<Context>& context,
              JitOptions* options) {
  JitLog log;
  std::shared_ptr<LoadedModule> module;
  const CUresult status = loadModule(context, selected, module, log);
  if (options) options->writeLogs(log);
  if (status != CUDA_SUCCESS) {
    // Without a buffer for it the reason would be lost.
    if (!options || !options->wantsErrorLog()) logRefusal(log.error);
    return status;
  }
  *out = asHandle<CUmodule>(handles<LoadedModule>().add(std::move(module)));
  return CUDA_SUCCESS;
}

}  // namespace

CUresult cuModuleLoad(CUmodule* module, const char* fname) {
  return inContext([&](const auto& context) -> CUresult {
    if (!module || !fname) return CUDA_ERROR_INVALID_VALUE;
    std::string image;
    if (!readImageFile(fname, image)) return CUDA_ERROR_FILE_NOT_FOUND;
    return load(module, selectPtx(image.data(), image.size(), context->device.target()), context, nullptr);
  });
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}

CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int numOptions, CUjit_option* options,
                            void** optionValues) {
  return inContext([&](const auto& context) -> CUresult {
    if (!module || !image) return CUDA_ERROR_INVALID_VALUE;
    JitOptions jit;
    if (const CUresult status = jit.read(numOptions, options, optionValues); status != CUDA_SUCCESS) return status;
    return load(module, selectPtx(image, kUnknownSize, context->device.target()), context, &jit);
  });
}

CUresult cuModuleLoadFatBinary(CUmodule* module, const void* fatCubin) {
  return cuModuleLoadDataEx(module, fatCubin, 0, nullptr, nullptr);
}

CUresult cuModuleUnload(CUmodule hmod) {
  return inContext([&](const auto&) {
    const auto module = fromHandle<LoadedModule>(hmod);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult status = module->context->synchronize();
    removeFunctionsOf(*module);
    handles<LoadedModule>().remove(hmod);
    return status;
  });
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return initialised([&] {
    if (!mode) return CUDA_ERROR_INVALID_VALUE;
    *mode = CU_MODULE_EAGER_LOADING;
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunction(CUfunction* hfunc, CUmodule hmod, const char* name) {
  return inContext([&](const auto&) {
    if (!hfunc || !name) return CUDA_ERROR_INVALID_VALUE;
    const auto module = fromHandle<LoadedModule>(hmod);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    const auto function = module->function(name);
    if (!function) return CUDA_ERROR_NOT_FOUND;
    *hfunc = asHandle<CUfunction>(function.get());
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunctionCount(unsigned int* count, CUmodule mod) {
  return inContext([&](const auto&) {
    const auto module = fromHandle<LoadedModule>(mod);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<unsigned>(module->module->kernels().size());
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleEnumerateFunctions(CUfunction* functions, unsigned int numFunctions, CUmodule mod) {
  return inContext([&](const auto&) {
    const auto module = fromHandle<LoadedModule>(mod);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    if (!functions) return CUDA_ERROR_INVALID_VALUE;
    const auto& kernels = module->module->kernels();
    for (unsigned i = 0; i < numFunctions && i < kernels.size(); ++i)
      functions[i] = asHandle<CUfunction>(module->function(kernels[i]->name).get());
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* dptr, size_t* bytes, CUmodule hmod, const char* name) {
  return inContext([&](const auto&) {
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    const auto module = fromHandle<LoadedModule>(hmod);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    const ModuleVariable* variable = module->module->variable(name);
    if (!variable) return CUDA_ERROR_NOT_FOUND;
    if (dptr) *dptr = variable->address;
    if (bytes) *bytes = variable->size;
    return CUDA_SUCCESS;
  });
}
