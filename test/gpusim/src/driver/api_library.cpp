// SPDX-License-Identifier: Apache-2.0
// Libraries (modules without a context), their kernels, and the linker for one PTX input.
#include "api.h"
#include "jit_options.h"
#include "module.h"

using namespace gpusim;

namespace {

CUresult loadLibrary(CUlibrary* out, const void* image, size_t size, CUjit_option* jitOptions, void** jitValues,
                     unsigned jitCount) {
  JitOptions jit;
  if (const CUresult status = jit.read(jitCount, jitOptions, jitValues); status != CUDA_SUCCESS) return status;
  auto library = std::make_shared<Library>();
  for (const auto& device : devices()) {
    if (library->images.count(device->target())) continue;
    PtxSelection selected = selectPtx(image, size, device->target());
    if (selected.status == CUDA_ERROR_INVALID_IMAGE) {
      jit.writeLogs({"", selected.log + "\n"});
      if (!jit.wantsErrorLog()) logRefusal(selected.log);
      return selected.status;
    }
    library->images.emplace(device->target(), std::move(selected));
  }
  // With a context the code is compiled at once, so that mistakes in it show here.
  if (const auto context = currentContext(); usable(context) == CUDA_SUCCESS) {
    JitLog log;
    std::shared_ptr<LoadedModule> module;
    const CUresult status = library->moduleIn(context, module, log);
    jit.writeLogs(log);
    if (status != CUDA_SUCCESS) {
      if (!jit.wantsErrorLog()) logRefusal(log.error);
      return status;
    }
  }
  *out = asHandle<CUlibrary>(handles<Library>().add(std::move(library)));
  return CUDA_SUCCESS;
}

// The module of a library in the current context.
CUresult moduleOf(CUlibrary handle, const std::shared_ptr<Context>& context, std::shared_ptr<Library>& library,
                  std::shared_ptr<LoadedModule>& module) {
  library = fromHandle<Library>(handle);
  if (!library) return CUDA_ERROR_INVALID_HANDLE;
  JitLog log;
  const CUresult status = library->moduleIn(context, module, log);
  if (status != CUDA_SUCCESS) logRefusal(log.error);
  return status;
}

template <class Body>
CUresult withLibrary(CUlibrary handle, Body&& body) {
  return inContext([&](const auto& context) -> CUresult {
    std::shared_ptr<Library> library;
    std::shared_ptr<LoadedModule> module;
    const CUresult status = moduleOf(handle, context, library, module);
    return status == CUDA_SUCCESS ? body(*library, *module) : status;
  });
}

}  // namespace

CUresult cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option* jitOptions, void** jitOptionsValues,
                           unsigned int numJitOptions, CUlibraryOption*, void**, unsigned int) {
  return initialised([&]() -> CUresult {
    if (!library || !code) return CUDA_ERROR_INVALID_VALUE;
    return loadLibrary(library, code, kUnknownSize, jitOptions, jitOptionsValues, numJitOptions);
  });
}

CUresult cuLibraryLoadFromFile(CUlibrary* library, const char* fileName, CUjit_option* jitOptions,
                               void** jitOptionsValues, unsigned int numJitOptions, CUlibraryOption*, void**,
                               unsigned int) {
  return initialised([&]() -> CUresult {
    if (!library || !fileName) return CUDA_ERROR_INVALID_VALUE;
    std::string image;
    if (!readImageFile(fileName, image)) return CUDA_ERROR_FILE_NOT_FOUND;
    return loadLibrary(library, image.data(), image.size(), jitOptions, jitOptionsValues, numJitOptions);
  });
}

CUresult cuLibraryUnload(CUlibrary library) {
  return initialised([&] {
    const auto found = handles<Library>().remove(library);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    removeKernelsOf(*found);
    for (const auto& [context, module] : found->modules) {
      module->context->synchronize();
      removeFunctionsOf(*module);
      handles<LoadedModule>().remove(module.get());
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetKernel(CUkernel* pKernel, CUlibrary library, const char* name) {
  return withLibrary(library, [&](Library& found, LoadedModule& module) {
    if (!pKernel || !name) return CUDA_ERROR_INVALID_VALUE;
    if (!module.module->kernel(name)) return CUDA_ERROR_NOT_FOUND;
    *pKernel = asHandle<CUkernel>(found.kernel(name).get());
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetKernelCount(unsigned int* count, CUlibrary lib) {
  return withLibrary(lib, [&](Library&, LoadedModule& module) {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<unsigned>(module.module->kernels().size());
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int numKernels, CUlibrary lib) {
  return withLibrary(lib, [&](Library& found, LoadedModule& module) {
    if (!kernels) return CUDA_ERROR_INVALID_VALUE;
    const auto& all = module.module->kernels();
    for (unsigned i = 0; i < numKernels && i < all.size(); ++i)
      kernels[i] = asHandle<CUkernel>(found.kernel(all[i]->name).get());
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetModule(CUmodule* pMod, CUlibrary library) {
  return withLibrary(library, [&](Library&, LoadedModule& module) {
    if (!pMod) return CUDA_ERROR_INVALID_VALUE;
    *pMod = asHandle<CUmodule>(&module);
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetGlobal(CUdeviceptr* dptr, size_t* bytes, CUlibrary library, const char* name) {
  return withLibrary(library, [&](Library&, LoadedModule& module) {
    return cuModuleGetGlobal_v2(dptr, bytes, asHandle<CUmodule>(&module), name);
  });
}

CUresult cuLibraryGetManaged(CUdeviceptr* dptr, size_t* bytes, CUlibrary library, const char* name) {
  return withLibrary(library, [&](Library&, LoadedModule& module) {
    const ModuleVariable* variable = name ? module.module->variable(name) : nullptr;
    if (!variable || !variable->managed) return name ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_VALUE;
    if (dptr) *dptr = variable->address;
    if (bytes) *bytes = variable->size;
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetFunction(CUfunction* pFunc, CUkernel kernel) {
  return inContext([&](const auto& context) -> CUresult {
    if (!pFunc) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Function> function;
    if (!fromHandle<LibraryKernel>(kernel)) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult status = resolveFunction(context, kernel, function);
    if (status == CUDA_SUCCESS) *pFunc = asHandle<CUfunction>(function.get());
    return status;
  });
}

CUresult cuKernelGetLibrary(CUlibrary* pLib, CUkernel kernel) {
  return initialised([&] {
    const auto found = fromHandle<LibraryKernel>(kernel);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    if (!pLib) return CUDA_ERROR_INVALID_VALUE;
    *pLib = asHandle<CUlibrary>(found->library);
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetName(const char** name, CUkernel kernel) {
  return initialised([&] {
    const auto found = fromHandle<LibraryKernel>(kernel);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    *name = found->name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetAttribute(int* pi, CUfunction_attribute attrib, CUkernel kernel, CUdevice) {
  return cuFuncGetAttribute(pi, attrib, reinterpret_cast<CUfunction>(kernel));
}

CUresult cuKernelSetAttribute(CUfunction_attribute attrib, int val, CUkernel kernel, CUdevice) {
  return cuFuncSetAttribute(reinterpret_cast<CUfunction>(kernel), attrib, val);
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice) {
  return cuFuncSetCacheConfig(reinterpret_cast<CUfunction>(kernel), config);
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t paramIndex, size_t* paramOffset, size_t* paramSize) {
  return cuFuncGetParamInfo(reinterpret_cast<CUfunction>(kernel), paramIndex, paramOffset, paramSize);
}
