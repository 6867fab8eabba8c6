// SPDX-License-Identifier: Apache-2.0
// Stream-ordered allocation and memory pools.
#include "api.h"
#include "capture.h"
#include "ownership.h"
#include "pool.h"

using namespace gpusim;

namespace {

CUresult allocateFrom(const std::shared_ptr<MemoryPool>& pool, const StreamUse& use, size_t bytes, CUdeviceptr* out) {
  if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (anyCapture()) {
    std::lock_guard lock(captureLock());
    if (const auto capture = use.stream->capture) {
      capture->invalid = true;
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
  }
  uint64_t address = 0;
  if (const CUresult status = pool->allocate(bytes, address); status != CUDA_SUCCESS) return status;
  notePool(address, pool);
  noteAllocation(address, use.context->id);
  *out = address;
  return submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_EMPTY, EmptyWork{});
}

template <class Body>
CUresult withPool(CUmemoryPool handle, Body&& body) {
  return initialised([&]() -> CUresult {
    const auto pool = fromHandle<MemoryPool>(handle);
    return pool ? body(pool) : CUDA_ERROR_INVALID_VALUE;
  });
}

bool isDevice(const CUmemLocation& location, const Device& device) {
  return location.type == CU_MEM_LOCATION_TYPE_DEVICE && location.id == device.ordinal;
}

}  // namespace

CUresult cuMemAllocAsync(CUdeviceptr* dptr, size_t bytesize, CUstream hStream) {
  return onStream(hStream, [&](const StreamUse& use) {
    return allocateFrom(currentPool(use.context->device), use, bytesize, dptr);
  });
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    const auto chosen = fromHandle<MemoryPool>(pool);
    if (!chosen || &chosen->device != &use.context->device) return CUDA_ERROR_INVALID_VALUE;
    return allocateFrom(chosen, use, bytesize, dptr);
  });
}

CUresult cuMemFreeAsync(CUdeviceptr dptr, CUstream hStream) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    if (dptr == 0) return CUDA_SUCCESS;
    if (anyCapture()) {
      std::lock_guard lock(captureLock());
      if (const auto capture = use.stream->capture) {
        capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
      }
    }
    Allocation allocation;
    const bool freeable = deviceOfAddress(dptr, allocation) && allocation.base == dptr &&
                          (allocation.kind == MemoryKind::StreamOrdered || allocation.kind == MemoryKind::Device);
    if (!freeable || !forgetAllocation(dptr)) return CUDA_ERROR_INVALID_VALUE;
    return submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_EMPTY,
                  FreeWork{dptr, allocation.size, poolOf(dptr, true)});
  });
}

CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* poolProps) {
  return initialised([&] {
    if (!pool || !poolProps) return CUDA_ERROR_INVALID_VALUE;
    if (poolProps->allocType != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
    if (poolProps->handleTypes != CU_MEM_HANDLE_TYPE_NONE) return CUDA_ERROR_NOT_SUPPORTED;
    if (poolProps->location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
    Device* device = deviceByOrdinal(poolProps->location.id);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    auto created = std::make_shared<MemoryPool>(*device, poolProps->maxSize);
    *pool = asHandle<CUmemoryPool>(handles<MemoryPool>().add(std::move(created)));
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolDestroy(CUmemoryPool pool) {
  return withPool(pool, [&](const auto& found) {
    if (found == defaultPool(found->device)) return CUDA_ERROR_INVALID_VALUE;
    {
      std::lock_guard lock(found->device.mutex);
      if (found->device.currentPool == found) found->device.currentPool.reset();
    }
    handles<MemoryPool>().remove(pool);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t minBytesToKeep) {
  return withPool(pool, [&](const auto& found) {
    found->trim(minBytesToKeep);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void* value) {
  return withPool(
      pool, [&](const auto& found) { return value ? found->setAttribute(attr, value) : CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void* value) {
  return withPool(pool,
                  [&](const auto& found) { return value ? found->attribute(attr, value) : CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* map, size_t count) {
  return withPool(pool, [&](const auto& found) {
    if (!map && count > 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i) {
      if (!isDevice(map[i].location, found->device)) return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
      if (map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool memPool, CUmemLocation* location) {
  return withPool(memPool, [&](const auto& found) {
    if (!flags || !location) return CUDA_ERROR_INVALID_VALUE;
    *flags = isDevice(*location, found->device) ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
  });
}
