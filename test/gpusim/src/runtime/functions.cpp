// SPDX-License-Identifier: Apache-2.0
// Attributes of kernels, occupancy, and the launch configuration between `<<<...>>>` and the launch stub.
#include <cstring>
#include <vector>

#include "registration.h"

using namespace cudart;

namespace {

struct Configuration {
  dim3 grid, block;
  size_t shared;
  CUstream stream;
};
thread_local std::vector<Configuration> configurations;

template <class Call>
cudaError_t withFunction(const void* symbol, Call call) {
  return inContext([&] {
    CUfunction function = nullptr;
    if (const cudaError_t error = findFunction(symbol, function); error != cudaSuccess) return error;
    return convert(call(function));
  });
}

CUresult fill(cudaFuncAttributes& a, CUfunction function) {
  std::memset(&a, 0, sizeof a);
  CUresult status = CUDA_SUCCESS;
  const auto read = [&](CUfunction_attribute which) {
    int value = 0;
    if (const CUresult result = cuFuncGetAttribute(&value, which, function); result != CUDA_SUCCESS) status = result;
    return value;
  };
  a.sharedSizeBytes = static_cast<size_t>(read(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES));
  a.constSizeBytes = static_cast<size_t>(read(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES));
  a.localSizeBytes = static_cast<size_t>(read(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES));
  a.maxThreadsPerBlock = read(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  a.numRegs = read(CU_FUNC_ATTRIBUTE_NUM_REGS);
  a.ptxVersion = read(CU_FUNC_ATTRIBUTE_PTX_VERSION);
  a.binaryVersion = read(CU_FUNC_ATTRIBUTE_BINARY_VERSION);
  a.cacheModeCA = read(CU_FUNC_ATTRIBUTE_CACHE_MODE_CA);
  a.maxDynamicSharedSizeBytes = read(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  a.preferredShmemCarveout = read(CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT);
  return status;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (configurations.empty()) return finish(cudaErrorMissingConfiguration);
  const Configuration top = configurations.back();
  configurations.pop_back();
  *grid = top.grid, *block = top.block, *shared = top.shared;
  *static_cast<CUstream*>(stream) = top.stream;
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* symbol) {
  return withFunction(symbol, [&](CUfunction function) { return fill(*attributes, function); });
}
cudaError_t cudaFuncSetAttribute(const void* symbol, cudaFuncAttribute attribute, int value) {
  return withFunction(symbol, [&](CUfunction function) {
    return cuFuncSetAttribute(function, static_cast<CUfunction_attribute>(attribute), value);
  });
}
cudaError_t cudaFuncSetCacheConfig(const void* symbol, cudaFuncCache config) {
  return withFunction(
      symbol, [&](CUfunction function) { return cuFuncSetCacheConfig(function, static_cast<CUfunc_cache>(config)); });
}
cudaError_t cudaFuncGetName(const char** name, const void* symbol) {
  return withFunction(symbol, [&](CUfunction function) { return cuFuncGetName(name, function); });
}
cudaError_t cudaFuncGetParamInfo(const void* symbol, size_t index, size_t* offset, size_t* size) {
  return withFunction(symbol, [&](CUfunction function) { return cuFuncGetParamInfo(function, index, offset, size); });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* symbol, int threads, size_t shared) {
  return withFunction(symbol, [&](CUfunction function) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared);
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* symbol, int threads,
                                                                   size_t shared, unsigned int flags) {
  return withFunction(symbol, [&](CUfunction function) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared, flags);
  });
}
cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* shared, const void* symbol, int blocks, int threads) {
  return withFunction(symbol, [&](CUfunction function) {
    return cuOccupancyAvailableDynamicSMemPerBlock(shared, function, blocks, threads);
  });
}

}  // extern "C"
#pragma GCC visibility pop
