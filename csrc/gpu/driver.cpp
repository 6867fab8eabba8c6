// SPDX-License-Identifier: Apache-2.0
#include "gpu/driver.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace pw::gpu {
namespace {

#if defined(_WIN32)
void* openLibrary(std::string* reason) {
  HMODULE library = LoadLibraryExW(L"nvcuda.dll", nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
  if (!library) *reason = "nvcuda.dll could not be loaded (error " + std::to_string(GetLastError()) + ")";
  return library;
}
void* findSymbol(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
#else
void* openLibrary(std::string* reason) {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) *reason = dlerror();
  return library;
}
void* findSymbol(void* library, const char* name) { return dlsym(library, name); }
#endif

Driver load() {
  Driver d;
#if defined(__APPLE__)
  d.reason = "there is no CUDA on macOS";
  return d;
#endif
  void* library = openLibrary(&d.reason);
  if (!library) return d;
#define PW_LOAD(member, symbol, parameters)                                         \
  d.member = reinterpret_cast<decltype(d.member)>(findSymbol(library, symbol));     \
  if (!d.member) {                                                                  \
    d.reason = std::string("the CUDA driver has no ") + symbol + ": it is too old"; \
    return d;                                                                       \
  }
  PW_CUDA_DRIVER_FUNCTIONS(PW_LOAD)
#undef PW_LOAD
#define PW_LOAD(member, symbol, parameters) \
  d.member = reinterpret_cast<decltype(d.member)>(findSymbol(library, symbol));
  PW_CUDA_OPTIONAL_FUNCTIONS(PW_LOAD)
#undef PW_LOAD
  CUresult result = d.init(0);
  if (result == kCudaSuccess) result = d.driverGetVersion(&d.version);
  int count = 0;
  if (result == kCudaSuccess) result = d.deviceGetCount(&count);
  if (result != kCudaSuccess) {
    d.reason = d.describe(result);
  } else if (count == 0) {
    d.reason = "the CUDA driver sees no GPU";
  } else {
    d.usable = true;
  }
  return d;
}

}  // namespace

std::string Driver::describe(CUresult result) const {
  const char *name = nullptr, *text = nullptr;
  getErrorName(result, &name);
  getErrorString(result, &text);
  if (!name) return "CUDA error " + std::to_string(result);
  return std::string(name) + (text ? std::string(": ") + text : std::string());
}

const Driver& driver() {
  static const Driver* const instance = new Driver(load());
  return *instance;
}

}  // namespace pw::gpu
