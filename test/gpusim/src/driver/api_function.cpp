// SPDX-License-Identifier: Apache-2.0
// Functions' attributes and the occupancy calculator.
#include <algorithm>

#include "api.h"
#include "module.h"

using namespace gpusim;

namespace {

template <class Body>
CUresult withFunction(CUfunction handle, Body&& body) {
  return inContext([&](const auto& context) -> CUresult {
    std::shared_ptr<Function> function;
    const CUresult status = resolveFunction(context, handle, function);
    return status == CUDA_SUCCESS ? body(*function) : status;
  });
}

const DeviceModel& modelOf(const Function& function) { return function.module->context->device.description.model; }

CUresult getAttribute(const Function& function, CUfunction_attribute which, int& value) {
  const Kernel& kernel = *function.kernel;
  switch (which) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      value = static_cast<int>(kernel.maxThreads);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      value = static_cast<int>(kernel.staticShared);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
      value = static_cast<int>(kernel.constBytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      value = static_cast<int>(kernel.localBytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      value = static_cast<int>(kernel.registers);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      value = kernel.ptxVersion;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      value = kernel.binaryVersion;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      value = function.maxDynamicShared;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      value = function.carveout;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      value = 0;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult setAttribute(Function& function, CUfunction_attribute which, int value) {
  switch (which) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: {
      const int most = modelOf(function).sharedPerBlockOptin - static_cast<int>(function.kernel->staticShared);
      if (value < 0 || value > most) return CUDA_ERROR_INVALID_VALUE;
      function.maxDynamicShared = value;
      function.raised = true;
      return CUDA_SUCCESS;
    }
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      if (value < -1 || value > 100) return CUDA_ERROR_INVALID_VALUE;
      function.carveout = value;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

int activeBlocks(const Function& function, int blockSize, size_t dynamicShared) {
  return residentBlocksPerSm(modelOf(function), *function.kernel, static_cast<uint32_t>(blockSize), dynamicShared);
}

CUresult maxActiveBlocks(int* numBlocks, CUfunction func, int blockSize, size_t dynamicShared, unsigned flags) {
  return withFunction(func, [&](const Function& function) {
    if (!numBlocks || blockSize <= 0 || flags > CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE) return CUDA_ERROR_INVALID_VALUE;
    *numBlocks = activeBlocks(function, blockSize, dynamicShared);
    return CUDA_SUCCESS;
  });
}

// Tries block sizes from large to small and keeps the one with the most resident threads.
CUresult potentialBlockSize(int* minGridSize, int* blockSize, CUfunction func, CUoccupancyB2DSize sharedOf,
                            size_t dynamicShared, int limit, unsigned flags) {
  return withFunction(func, [&](const Function& function) {
    if (!minGridSize || !blockSize || flags > CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE) return CUDA_ERROR_INVALID_VALUE;
    const DeviceModel& model = modelOf(function);
    int largest = std::min<int>(model.maxThreadsPerBlock, static_cast<int>(function.kernel->maxThreads));
    if (limit > 0) largest = std::min(largest, limit);
    int bestSize = 0, bestBlocks = 0;
    for (int size = (largest + 31) / 32 * 32; size > 0; size -= 32) {
      const int threads = std::min(size, largest);
      const int blocks = activeBlocks(function, threads, sharedOf ? sharedOf(threads) : dynamicShared);
      if (blocks * threads > bestBlocks * bestSize) {
        bestSize = threads;
        bestBlocks = blocks;
      }
      if (bestBlocks * bestSize == model.maxThreadsPerSm) break;
    }
    *blockSize = bestSize;
    *minGridSize = bestBlocks * model.smCount;
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuFuncGetAttribute(int* pi, CUfunction_attribute attrib, CUfunction hfunc) {
  return withFunction(hfunc, [&](const Function& function) {
    return pi ? getAttribute(function, attrib, *pi) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuFuncSetAttribute(CUfunction hfunc, CUfunction_attribute attrib, int value) {
  return withFunction(hfunc, [&](Function& function) { return setAttribute(function, attrib, value); });
}

CUresult cuFuncSetCacheConfig(CUfunction hfunc, CUfunc_cache config) {
  return withFunction(hfunc, [&](Function& function) {
    if (config < CU_FUNC_CACHE_PREFER_NONE || config > CU_FUNC_CACHE_PREFER_EQUAL) return CUDA_ERROR_INVALID_VALUE;
    function.cacheConfig = config;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncSetSharedMemConfig(CUfunction hfunc, CUsharedconfig config) {
  return withFunction(hfunc, [&](Function&) {
    const bool valid =
        config >= CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE && config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE;
    return valid ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuFuncGetModule(CUmodule* hmod, CUfunction hfunc) {
  return withFunction(hfunc, [&](const Function& function) {
    if (!hmod) return CUDA_ERROR_INVALID_VALUE;
    *hmod = asHandle<CUmodule>(function.module);
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetName(const char** name, CUfunction hfunc) {
  return withFunction(hfunc, [&](const Function& function) {
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    *name = function.kernel->name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetParamInfo(CUfunction func, size_t paramIndex, size_t* paramOffset, size_t* paramSize) {
  return withFunction(func, [&](const Function& function) {
    const auto& parameters = function.kernel->parameters;
    if (!paramOffset || paramIndex >= parameters.size()) return CUDA_ERROR_INVALID_VALUE;
    *paramOffset = parameters[paramIndex].offset;
    if (paramSize) *paramSize = parameters[paramIndex].size;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction function) {
  return withFunction(function, [&](const Function&) {
    if (!state) return CUDA_ERROR_INVALID_VALUE;
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncLoad(CUfunction function) {
  return withFunction(function, [](const Function&) { return CUDA_SUCCESS; });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* numBlocks, CUfunction func, int blockSize,
                                                     size_t dynamicSMemSize) {
  return maxActiveBlocks(numBlocks, func, blockSize, dynamicSMemSize, CU_OCCUPANCY_DEFAULT);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* numBlocks, CUfunction func, int blockSize,
                                                              size_t dynamicSMemSize, unsigned int flags) {
  return maxActiveBlocks(numBlocks, func, blockSize, dynamicSMemSize, flags);
}

CUresult cuOccupancyMaxPotentialBlockSize(int* minGridSize, int* blockSize, CUfunction func,
                                          CUoccupancyB2DSize blockSizeToDynamicSMemSize, size_t dynamicSMemSize,
                                          int blockSizeLimit) {
  return potentialBlockSize(minGridSize, blockSize, func, blockSizeToDynamicSMemSize, dynamicSMemSize, blockSizeLimit,
                            CU_OCCUPANCY_DEFAULT);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* minGridSize, int* blockSize, CUfunction func,
                                                   CUoccupancyB2DSize blockSizeToDynamicSMemSize,
                                                   size_t dynamicSMemSize, int blockSizeLimit, unsigned int flags) {
  return potentialBlockSize(minGridSize, blockSize, func, blockSizeToDynamicSMemSize, dynamicSMemSize, blockSizeLimit,
                            flags);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t* dynamicSmemSize, CUfunction func, int numBlocks,
                                                 int blockSize) {
  return withFunction(func, [&](const Function& function) {
    if (!dynamicSmemSize || numBlocks <= 0 || blockSize <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (activeBlocks(function, blockSize, 0) < numBlocks) return CUDA_ERROR_INVALID_VALUE;
    const DeviceModel& model = modelOf(function);
    const int used = static_cast<int>(function.kernel->staticShared);
    const int each = model.sharedPerSm / numBlocks / model.sharedAllocationUnit * model.sharedAllocationUnit -
                     model.sharedReservedPerBlock;
    *dynamicSmemSize = static_cast<size_t>(std::max(0, std::min(each, model.sharedPerBlockOptin) - used));
    return CUDA_SUCCESS;
  });
}
