// SPDX-License-Identifier: Apache-2.0
// What nvcc's generated code calls before main: it registers fatbins, and the host symbols that stand for their kernels
// and variables. Code is loaded when the first of its kernels or variables is used.
#include "registration.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace cudart {
namespace {

struct FatBinary {
  const void* image;
  std::once_flag once;
  CUresult status = CUDA_SUCCESS;
  CUlibrary library = nullptr;
  std::vector<std::pair<void**, std::string>> managed;  ///< the program's pointers to managed variables

  CUresult load() {
    std::call_once(once,
                   [this] { status = cuLibraryLoadData(&library, image, nullptr, nullptr, 0, nullptr, nullptr, 0); });
    return status;
  }
};

struct Symbol {
  FatBinary* binary = nullptr;
  std::string name;
  CUkernel kernel = nullptr;
};

struct Registry {
  std::mutex mutex;
  std::map<const void*, Symbol> kernels, variables;
};

// Never destroyed: programs launch from exit handlers, too.
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

thread_local cudaError_t lastFailure = cudaErrorInvalidDeviceFunction;

}  // namespace

cudaError_t findKernel(const void* symbol, CUkernel& kernel) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  const auto found = all.kernels.find(symbol);
  if (found == all.kernels.end()) return cudaErrorInvalidDeviceFunction;
  Symbol& entry = found->second;
  if (!entry.kernel) {
    CUresult result = entry.binary->load();
    if (result == CUDA_SUCCESS) result = cuLibraryGetKernel(&entry.kernel, entry.binary->library, entry.name.c_str());
    if (result == CUDA_ERROR_NOT_FOUND) return cudaErrorInvalidDeviceFunction;
    if (result != CUDA_SUCCESS) return convert(result);
  }
  kernel = entry.kernel;
  return cudaSuccess;
}

cudaError_t findFunction(const void* symbol, CUfunction& function) {
  CUkernel kernel = nullptr;
  const cudaError_t error = findKernel(symbol, kernel);
  if (error == cudaSuccess) return convert(cuKernelGetFunction(&function, kernel));
  if (error != cudaErrorInvalidDeviceFunction || !symbol) return error;
  // handles of kernels and functions may be given instead of a symbol
  auto* handle = const_cast<void*>(symbol);
  if (cuKernelGetFunction(&function, static_cast<CUkernel>(handle)) == CUDA_SUCCESS) return cudaSuccess;
  const char* name = nullptr;
  function = static_cast<CUfunction>(handle);
  return cuFuncGetName(&name, function) == CUDA_SUCCESS ? cudaSuccess : error;
}

cudaError_t findVariable(const void* symbol, CUdeviceptr& address, size_t& bytes) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  const auto found = all.variables.find(symbol);
  if (found == all.variables.end()) return cudaErrorInvalidSymbol;
  const Symbol& entry = found->second;
  if (const CUresult result = entry.binary->load(); result != CUDA_SUCCESS) return convert(result);
  return convert(cuLibraryGetGlobal(&address, &bytes, entry.binary->library, entry.name.c_str()));
}

}  // namespace cudart

using namespace cudart;

#pragma GCC visibility push(default)
extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  struct Wrapper {
    int magic, version;
    const void* image;
    void* rest;
  };
  auto* binary = new FatBinary;
  binary->image = static_cast<const Wrapper*>(wrapper)->image;
  return reinterpret_cast<void**>(binary);
}
void __cudaRegisterFatBinaryEnd(void**) {}

// At the end of the process: its memory is the driver's to report and free.
void __cudaUnregisterFatBinary(void**) {}

void __cudaRegisterFunction(void** binary, const char* symbol, char*, const char* name, int, uint3*, uint3*, dim3*,
                            dim3*, int*) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  all.kernels[symbol] = {reinterpret_cast<FatBinary*>(binary), name, nullptr};
}

void __cudaRegisterVar(void** binary, char* symbol, char*, const char* name, int, size_t, int, int) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  all.variables[symbol] = {reinterpret_cast<FatBinary*>(binary), name, nullptr};
}

void __cudaRegisterManagedVar(void** binary, void** pointer, char*, const char* name, int, size_t, int, int) {
  auto* owner = reinterpret_cast<FatBinary*>(binary);
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  owner->managed.emplace_back(pointer, name);
}

/// The host is about to use a managed variable for the first time.
char __cudaInitModule(void** handle) {
  auto* binary = reinterpret_cast<FatBinary*>(handle);
  const cudaError_t error = inContext([&] {
    CUresult result = binary->load();
    for (const auto& [pointer, name] : binary->managed) {
      if (result != CUDA_SUCCESS) break;
      CUdeviceptr at = 0;
      size_t bytes = 0;
      result = cuLibraryGetManaged(&at, &bytes, binary->library, name.c_str());
      if (result == CUDA_SUCCESS) *pointer = reinterpret_cast<void*>(at);
    }
    return result;
  });
  return error == cudaSuccess;
}

/// Called once for each kernel by its launch stub, which keeps the handle.
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* symbol) {
  const cudaError_t error = inContext([&] { return findKernel(symbol, *kernel); });
  if (error != cudaSuccess) lastFailure = error;
  return error;
}

cudaError_t cudaGetKernel(cudaKernel_t* kernel, const void* symbol) {
  return inContext([&] { return findKernel(symbol, *kernel); });
}
cudaError_t cudaGetFuncBySymbol(cudaFunction_t* function, const void* symbol) {
  return inContext([&] { return findFunction(symbol, *function); });
}

cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  return inContext([&] {
    size_t bytes = 0;
    return findVariable(symbol, *address(pointer), bytes);
  });
}
cudaError_t cudaGetSymbolSize(size_t* bytes, const void* symbol) {
  return inContext([&] {
    CUdeviceptr at = 0;
    return findVariable(symbol, at, *bytes);
  });
}

}  // extern "C"
#pragma GCC visibility pop

cudaError_t cudart::loadFailure() { return lastFailure; }
