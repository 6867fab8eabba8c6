// SPDX-License-Identifier: Apache-2.0
// Contexts and each thread's stack of them.
#include <algorithm>

#include "api.h"
#include "capture.h"

using namespace gpusim;

namespace {

CUresult createContext(CUcontext* pctx, unsigned flags, CUdevice dev) {
  return onDevice(dev, [&](Device& device) {
    if (!pctx || (flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK))) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult fault = processFault(); fault != CUDA_SUCCESS) return fault;
    auto context = std::make_shared<Context>(device, flags, false);
    handles<Context>().add(context);
    *pctx = asHandle<CUcontext>(context.get());
    contextStack().push_back(std::move(context));
    return CUDA_SUCCESS;
  });
}

// The context of a handle, or the current one for null; not necessarily free of faults.
std::shared_ptr<Context> contextOrCurrent(CUcontext handle) {
  return handle ? fromHandle<Context>(handle) : currentContext();
}

CUresult synchronizeContext(const std::shared_ptr<Context>& context) {
  if (const CUresult status = usable(context); status != CUDA_SUCCESS) return status;
  if (invalidateCapturesOf(*context)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return context->synchronize();
}

bool validCacheConfig(CUfunc_cache config) {
  return config >= CU_FUNC_CACHE_PREFER_NONE && config <= CU_FUNC_CACHE_PREFER_EQUAL;
}

}  // namespace

CUresult cuCtxCreate_v2(CUcontext* pctx, unsigned int flags, CUdevice dev) { return createContext(pctx, flags, dev); }

CUresult cuCtxCreate_v4(CUcontext* pctx, CUctxCreateParams* params, unsigned int flags, CUdevice dev) {
  if (params && (params->numExecAffinityParams > 0 || params->cigParams)) return CUDA_ERROR_NOT_SUPPORTED;
  return createContext(pctx, flags, dev);
}

CUresult cuCtxDestroy_v2(CUcontext ctx) {
  return initialised([&] {
    const auto context = fromHandle<Context>(ctx);
    if (!context || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    handles<Context>().remove(ctx);
    auto& stack = contextStack();
    if (!stack.empty() && stack.back() == context) stack.pop_back();
    context->clear("its context was destroyed");
    context->setAlive(false);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPushCurrent_v2(CUcontext ctx) {
  return initialised([&] {
    auto context = fromHandle<Context>(ctx);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    contextStack().push_back(std::move(context));
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPopCurrent_v2(CUcontext* pctx) {
  return initialised([&] {
    auto& stack = contextStack();
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (pctx) *pctx = asHandle<CUcontext>(stack.back().get());
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCurrent(CUcontext ctx) {
  return initialised([&] {
    auto context = ctx ? fromHandle<Context>(ctx) : nullptr;
    if (ctx && !context) return CUDA_ERROR_INVALID_CONTEXT;
    setCurrentContext(std::move(context));
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCurrent(CUcontext* pctx) {
  return initialised([&] {
    if (!pctx) return CUDA_ERROR_INVALID_VALUE;
    *pctx = asHandle<CUcontext>(currentContext().get());
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice_v2(CUdevice* device, CUcontext ctx) {
  return initialised([&] {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    const auto context = contextOrCurrent(ctx);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    *device = context->device.ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(CUdevice* device) { return cuCtxGetDevice_v2(device, nullptr); }

CUresult cuCtxGetFlags(unsigned int* flags) {
  return inContext([&](const auto& context) {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = context->flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetFlags(unsigned int flags) {
  return inContext([&](const auto& context) {
    if (flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) return CUDA_ERROR_INVALID_VALUE;
    context->flags = flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetId(CUcontext ctx, unsigned long long* ctxId) {
  return initialised([&] {
    const auto context = contextOrCurrent(ctx);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!ctxId) return CUDA_ERROR_INVALID_VALUE;
    *ctxId = context->id;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSynchronize() {
  return initialised([] { return synchronizeContext(currentContext()); });
}

CUresult cuCtxSynchronize_v2(CUcontext ctx) {
  return initialised([&] { return synchronizeContext(contextOrCurrent(ctx)); });
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  return inContext([&](const auto& context) {
    DeviceState& state = context->device.state;
    switch (limit) {
      case CU_LIMIT_STACK_SIZE:
        context->limits[limit] = std::max<size_t>(value, 1);
        state.stackLimit = context->limits[limit];
        return CUDA_SUCCESS;
      case CU_LIMIT_MALLOC_HEAP_SIZE:
        context->limits[limit] = value;
        state.heapLimit = value;
        return CUDA_SUCCESS;
      case CU_LIMIT_PERSISTING_L2_CACHE_SIZE:
        context->limits[limit] = std::min<size_t>(value, state.model.maxPersistingL2Bytes);
        return CUDA_SUCCESS;
      case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
        if (value > 128) return CUDA_ERROR_INVALID_VALUE;
        context->limits[limit] = value;
        return CUDA_SUCCESS;
      case CU_LIMIT_PRINTF_FIFO_SIZE:
      case CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH:
      case CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT:
        context->limits[limit] = value;
        return CUDA_SUCCESS;
      default:
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    }
  });
}

CUresult cuCtxGetLimit(size_t* pvalue, CUlimit limit) {
  return inContext([&](const auto& context) {
    if (!pvalue) return CUDA_ERROR_INVALID_VALUE;
    if (limit < 0 || limit > CU_LIMIT_PERSISTING_L2_CACHE_SIZE) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *pvalue = context->limits[limit];
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCacheConfig(CUfunc_cache* pconfig) {
  return inContext([&](const auto& context) {
    if (!pconfig) return CUDA_ERROR_INVALID_VALUE;
    *pconfig = static_cast<CUfunc_cache>(context->cacheConfig.load());
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config) {
  return inContext([&](const auto& context) {
    if (!validCacheConfig(config)) return CUDA_ERROR_INVALID_VALUE;
    context->cacheConfig = config;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetSharedMemConfig(CUsharedconfig* pConfig) {
  return inContext([&](const auto&) {
    if (!pConfig) return CUDA_ERROR_INVALID_VALUE;
    *pConfig = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config) {
  return inContext([&](const auto&) {
    const bool valid =
        config >= CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE && config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE;
    return valid ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuCtxGetApiVersion(CUcontext ctx, unsigned int* version) {
  return initialised([&] {
    if (!contextOrCurrent(ctx)) return CUDA_ERROR_INVALID_CONTEXT;
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    *version = 3020;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetStreamPriorityRange(int* leastPriority, int* greatestPriority) {
  return inContext([&](const auto&) {
    if (leastPriority) *leastPriority = kLeastStreamPriority;
    if (greatestPriority) *greatestPriority = kGreatestStreamPriority;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxResetPersistingL2Cache() {
  return inContext([](const auto&) { return CUDA_SUCCESS; });
}

CUresult cuCtxEnablePeerAccess(CUcontext peerContext, unsigned int) {
  return inContext([&](const auto&) {
    return fromHandle<Context>(peerContext) ? CUDA_ERROR_PEER_ACCESS_UNSUPPORTED : CUDA_ERROR_INVALID_CONTEXT;
  });
}

CUresult cuCtxDisablePeerAccess(CUcontext peerContext) {
  return inContext([&](const auto&) {
    return fromHandle<Context>(peerContext) ? CUDA_ERROR_PEER_ACCESS_NOT_ENABLED : CUDA_ERROR_INVALID_CONTEXT;
  });
}
