// SPDX-License-Identifier: Apache-2.0
/// @file runtime_api.h
/// What all functions of the CUDA runtime API share. The runtime is a layer over the driver API's public functions and
/// knows nothing else of the simulator.
#pragma once

#pragma GCC visibility push(default)
#include <cuda.h>
#include <cudaProfiler.h>
#include <cuda_profiler_api.h>
#include <cuda_runtime_api.h>
#pragma GCC visibility pop

#include <cstddef>

namespace cudart {

/// The runtime's codes are the driver's, with a few of its own.
inline cudaError_t convert(CUresult result) { return static_cast<cudaError_t>(result); }
inline cudaError_t convert(cudaError_t error) { return error; }

/// Initialises the driver, and makes the primary context of the thread's device current unless a context is.
cudaError_t enter();

/// Keeps an error for cudaGetLastError.
cudaError_t finish(cudaError_t error);

/// Runs `call`, which returns a code of the driver or the runtime, in a context.
template <class Call>
cudaError_t inContext(Call call) {
  cudaError_t error = enter();
  if (error == cudaSuccess) error = convert(call());
  return finish(error);
}

/// The function of a kernel in the current context. `symbol`: the host function that stands for it, or a handle.
cudaError_t findFunction(const void* symbol, CUfunction& function);

/// Address and size of a `__device__`, `__constant__` or `__managed__` variable in the current context.
cudaError_t findVariable(const void* symbol, CUdeviceptr& address, size_t& bytes);

inline CUdeviceptr address(const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }
inline CUdeviceptr* address(void** pointer) { return reinterpret_cast<CUdeviceptr*>(pointer); }

const char* errorName(cudaError_t error);
const char* errorText(cudaError_t error);

}  // namespace cudart
