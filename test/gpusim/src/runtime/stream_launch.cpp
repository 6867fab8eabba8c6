// SPDX-License-Identifier: Apache-2.0
// Launches. Compiled twice, as all stream_*.cpp are: with CUDA_API_PER_THREAD_DEFAULT_STREAM the toolkit's headers
// rename what is defined and what is called here to the variants for which stream 0 is the thread's own.
#include "registration.h"

using namespace cudart;

namespace {

static_assert(sizeof(cudaLaunchAttribute) == sizeof(CUlaunchAttribute));

/// The runtime has a code of its own for a launch that no device could run.
cudaError_t explained(CUresult result, const dim3& grid, const dim3& block) {
  if (result != CUDA_ERROR_INVALID_VALUE) return convert(result);
  CUdevice device = 0;
  int threads = 0;
  cuCtxGetDevice(&device);
  cuDeviceGetAttribute(&threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, device);
  const bool empty = !grid.x || !grid.y || !grid.z || !block.x || !block.y || !block.z;
  const bool large = grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535 || block.x > 1024 || block.y > 1024 ||
                     block.z > 64 || size_t(block.x) * block.y * block.z > size_t(threads);
  return empty || large ? cudaErrorInvalidConfiguration : cudaErrorInvalidValue;
}

cudaError_t start(CUfunction function, dim3 grid, dim3 block, void** arguments, size_t shared, CUstream stream) {
  return explained(cuLaunchKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                  static_cast<unsigned>(shared), stream, arguments, nullptr),
                   grid, block);
}

cudaError_t startKernel(CUkernel kernel, dim3 grid, dim3 block, void** arguments, size_t shared, CUstream stream) {
  return inContext([&] {
    if (!kernel) return loadFailure();
    CUfunction function = nullptr;
    if (const CUresult result = cuKernelGetFunction(&function, kernel); result != CUDA_SUCCESS) return convert(result);
    return start(function, grid, block, arguments, shared, stream);
  });
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaLaunchKernel(const void* symbol, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream) {
  return inContext([&] {
    CUfunction function = nullptr;
    if (const cudaError_t error = findFunction(symbol, function); error != cudaSuccess) return error;
    return start(function, grid, block, arguments, shared, stream);
  });
}

// The stubs of nvcc name both of these themselves.
#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                                    cudaStream_t stream) {
  return startKernel(kernel, grid, block, arguments, shared, stream);
}
#else
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t stream) {
  return startKernel(kernel, grid, block, arguments, shared, stream);
}
#endif

cudaError_t cudaLaunchCooperativeKernel(const void* symbol, dim3 grid, dim3 block, void** arguments, size_t shared,
                                        cudaStream_t stream) {
  return inContext([&] {
    CUfunction function = nullptr;
    if (const cudaError_t error = findFunction(symbol, function); error != cudaSuccess) return error;
    return explained(cuLaunchCooperativeKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                               static_cast<unsigned>(shared), stream, arguments),
                     grid, block);
  });
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* symbol, void** arguments) {
  return inContext([&] {
    CUfunction function = nullptr;
    if (const cudaError_t error = findFunction(symbol, function); error != cudaSuccess) return error;
    CUlaunchConfig c{};
    c.gridDimX = config->gridDim.x, c.gridDimY = config->gridDim.y, c.gridDimZ = config->gridDim.z;
    c.blockDimX = config->blockDim.x, c.blockDimY = config->blockDim.y, c.blockDimZ = config->blockDim.z;
    c.sharedMemBytes = static_cast<unsigned>(config->dynamicSmemBytes);
    c.hStream = config->stream;
    c.attrs = reinterpret_cast<CUlaunchAttribute*>(config->attrs);
    c.numAttrs = config->numAttrs;
    return explained(cuLaunchKernelEx(&c, function, arguments, nullptr), config->gridDim, config->blockDim);
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return inContext([&] { return cuLaunchHostFunc(stream, function, data); });
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned int version,
                                             unsigned long long flags, cudaDriverEntryPointQueryResult* status) {
#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
  if (flags == cudaEnableDefault) flags = cudaEnablePerThreadDefaultStream;
#endif
  return inContext([&] {
    return cuGetProcAddress(symbol, function, static_cast<int>(version), flags,
                            reinterpret_cast<CUdriverProcAddressQueryResult*>(status));
  });
}
cudaError_t cudaGetDriverEntryPoint(const char* symbol, void** function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* status) {
  return cudaGetDriverEntryPointByVersion(symbol, function, CUDART_VERSION, flags, status);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  return inContext([&] { return cuGraphLaunch(graph, stream); });
}
cudaError_t cudaGraphUpload(cudaGraphExec_t graph, cudaStream_t stream) {
  return inContext([&] { return cuGraphUpload(graph, stream); });
}

}  // extern "C"
#pragma GCC visibility pop
