// SPDX-License-Identifier: Apache-2.0
// The thread's device and last error; devices and contexts.
#include <map>
#include <mutex>

#include "runtime_api.h"

namespace cudart {
namespace {

thread_local int threadDevice = 0;
thread_local cudaError_t lastError = cudaSuccess;

cudaError_t initialise() {
  static const CUresult result = cuInit(0);
  return convert(result);
}

/// Retained once and kept until the process ends, as the runtime does.
cudaError_t primaryContext(int device, CUcontext& context) {
  static std::mutex mutex;
  static auto* retained = new std::map<int, CUcontext>;
  std::lock_guard lock(mutex);
  if (const auto found = retained->find(device); found != retained->end()) {
    context = found->second;
    return cudaSuccess;
  }
  CUdevice handle;
  if (const CUresult result = cuDeviceGet(&handle, device); result != CUDA_SUCCESS) return convert(result);
  if (const CUresult result = cuDevicePrimaryCtxRetain(&context, handle); result != CUDA_SUCCESS)
    return convert(result);
  (*retained)[device] = context;
  return cudaSuccess;
}

cudaError_t use(int device) {
  CUcontext context;
  if (const cudaError_t error = primaryContext(device, context); error != cudaSuccess) return error;
  return convert(cuCtxSetCurrent(context));
}

/// Calls that need the driver, but no context.
template <class Call>
cudaError_t initialised(Call call) {
  cudaError_t error = initialise();
  if (error == cudaSuccess) error = convert(call());
  return finish(error);
}

}  // namespace

cudaError_t enter() {
  if (const cudaError_t error = initialise(); error != cudaSuccess) return error;
  CUcontext current = nullptr;
  if (cuCtxGetCurrent(&current) == CUDA_SUCCESS && current) return cudaSuccess;
  return use(threadDevice);
}

cudaError_t finish(cudaError_t error) {
  if (error != cudaSuccess) lastError = error;
  return error;
}

}  // namespace cudart

using namespace cudart;

extern "C" {

cudaError_t cudaGetLastError() {
  const cudaError_t error = lastError;
  lastError = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() { return lastError; }
const char* cudaGetErrorName(cudaError_t error) { return errorName(error); }
const char* cudaGetErrorString(cudaError_t error) { return errorText(error); }

cudaError_t cudaGetDeviceCount(int* count) {
  return initialised([&] { return cuDeviceGetCount(count); });
}

cudaError_t cudaSetDevice(int device) {
  return initialised([&] {
    const cudaError_t error = use(device);
    if (error == cudaSuccess) threadDevice = device;
    return error;
  });
}

cudaError_t cudaInitDevice(int device, unsigned int, unsigned int) {
  return initialised([&] {
    CUcontext context;
    return primaryContext(device, context);
  });
}

cudaError_t cudaGetDevice(int* device) {
  return initialised([&] {
    CUdevice current;
    *device = cuCtxGetDevice(&current) == CUDA_SUCCESS ? current : threadDevice;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDeviceFlags(unsigned int flags) {
  return initialised([&] { return cuDevicePrimaryCtxSetFlags(threadDevice, flags); });
}
cudaError_t cudaGetDeviceFlags(unsigned int* flags) {
  return inContext([&] { return cuCtxGetFlags(flags); });
}

cudaError_t cudaDeviceSynchronize() { return inContext(cuCtxSynchronize); }
cudaError_t cudaDeviceReset() {
  return inContext([] { return cuDevicePrimaryCtxReset(threadDevice); });
}

cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit) {
  return inContext([&] { return cuCtxGetLimit(value, static_cast<CUlimit>(limit)); });
}
cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t value) {
  return inContext([&] { return cuCtxSetLimit(static_cast<CUlimit>(limit), value); });
}
cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* config) {
  return inContext([&] { return cuCtxGetCacheConfig(reinterpret_cast<CUfunc_cache*>(config)); });
}
cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache config) {
  return inContext([&] { return cuCtxSetCacheConfig(static_cast<CUfunc_cache>(config)); });
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return inContext([&] { return cuCtxGetStreamPriorityRange(least, greatest); });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return initialised([&] { return cuDeviceCanAccessPeer(can, device, peer); });
}
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned int flags) {
  return inContext([&] {
    CUcontext context;
    if (const cudaError_t error = primaryContext(peer, context); error != cudaSuccess) return error;
    return convert(cuCtxEnablePeerAccess(context, flags));
  });
}
cudaError_t cudaDeviceDisablePeerAccess(int peer) {
  return inContext([&] {
    CUcontext context;
    if (const cudaError_t error = primaryContext(peer, context); error != cudaSuccess) return error;
    return convert(cuCtxDisablePeerAccess(context));
  });
}

cudaError_t cudaCtxResetPersistingL2Cache() { return inContext(cuCtxResetPersistingL2Cache); }

cudaError_t cudaDriverGetVersion(int* version) { return finish(convert(cuDriverGetVersion(version))); }
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() { return inContext(cuProfilerStart); }
cudaError_t cudaProfilerStop() { return inContext(cuProfilerStop); }

}  // extern "C"
