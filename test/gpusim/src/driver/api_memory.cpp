// SPDX-License-Identifier: Apache-2.0
// Allocation: device, pinned and managed memory.
#include <cstdio>

#include "api.h"
#include "capture.h"
#include "host_memory.h"
#include "log.h"
#include "ownership.h"
#include "pool.h"

using namespace gpusim;

namespace {

constexpr size_t kPitchAlignment = 512;

CUresult allocateDevice(const std::shared_ptr<Context>& context, size_t bytes, CUdeviceptr* out) {
  uint64_t address = 0;
  const Status status = context->device.state.memory.allocate(bytes, MemoryKind::Device, address);
  if (status != Status::Success) return static_cast<CUresult>(status);
  noteAllocation(address, context->id);
  *out = address;
  return CUDA_SUCCESS;
}

CUresult allocateHost(const std::shared_ptr<Context>& context, size_t bytes, MemoryKind kind, unsigned flags,
                      void** out) {
  if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult status = forbidDuringCapture(); status != CUDA_SUCCESS) return status;
  const CUresult status = allocateHostMemory(context->device, bytes, kind, flags, *out);
  if (status == CUDA_SUCCESS) noteAllocation(reinterpret_cast<uint64_t>(*out), context->id);
  return status;
}

// The live allocation that starts at an address.
Device* allocationAt(uint64_t address, Allocation& allocation) {
  Device* device = deviceOfAddress(address, allocation);
  return device && allocation.base == address ? device : nullptr;
}

}  // namespace

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  return inContext([&](const auto& context) {
    if (!free || !total) return CUDA_ERROR_INVALID_VALUE;
    const GlobalMemory& memory = context->device.state.memory;
    *total = memory.capacity();
    *free = memory.capacity() - memory.bytesInUse();
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAlloc_v2(CUdeviceptr* dptr, size_t bytesize) {
  return inContext([&](const auto& context) -> CUresult {
    if (!dptr || bytesize == 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult status = forbidDuringCapture(); status != CUDA_SUCCESS) return status;
    return allocateDevice(context, bytesize, dptr);
  });
}

CUresult cuMemAllocPitch_v2(CUdeviceptr* dptr, size_t* pPitch, size_t width, size_t height, unsigned int elementSize) {
  return inContext([&](const auto& context) -> CUresult {
    if (!dptr || !pPitch || width == 0 || height == 0) return CUDA_ERROR_INVALID_VALUE;
    if (elementSize != 4 && elementSize != 8 && elementSize != 16) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult status = forbidDuringCapture(); status != CUDA_SUCCESS) return status;
    const size_t pitch = (width + kPitchAlignment - 1) / kPitchAlignment * kPitchAlignment;
    if (pitch < width || height > SIZE_MAX / pitch) return CUDA_ERROR_OUT_OF_MEMORY;
    const CUresult status = allocateDevice(context, pitch * height, dptr);
    if (status == CUDA_SUCCESS) *pPitch = pitch;
    return status;
  });
}

CUresult cuMemAllocManaged(CUdeviceptr* dptr, size_t bytesize, unsigned int flags) {
  return inContext([&](const auto& context) -> CUresult {
    if (!dptr || (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST)) return CUDA_ERROR_INVALID_VALUE;
    void* pointer = nullptr;
    const CUresult status = allocateHost(context, bytesize, MemoryKind::Managed, flags, &pointer);
    if (status == CUDA_SUCCESS) *dptr = reinterpret_cast<CUdeviceptr>(pointer);
    return status;
  });
}

CUresult cuMemFree_v2(CUdeviceptr dptr) {
  return inContext([&](const auto& context) -> CUresult {
    if (dptr == 0) return CUDA_SUCCESS;
    if (const CUresult status = forbidDuringCapture(); status != CUDA_SUCCESS) return status;
    // As a driver does: the memory may be in use until all work has ended.
    if (const CUresult status = context->synchronize(); status != CUDA_SUCCESS) return status;
    Allocation allocation;
    Device* device = allocationAt(dptr, allocation);
    if (!device || allocation.kind == MemoryKind::HostPinned || !forgetAllocation(dptr)) {
      char text[96];
      std::snprintf(text, sizeof text, "cuMemFree: 0x%llx is not the address of an allocation (freed already?)",
                    static_cast<unsigned long long>(dptr));
      logRefusal(text);
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (allocation.kind == MemoryKind::Managed) return freeHostMemory(*device, allocation);
    if (const auto pool = poolOf(dptr, true)) return pool->release(dptr, allocation.size);
    return static_cast<CUresult>(device->state.memory.free(dptr));
  });
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr* pbase, size_t* psize, CUdeviceptr dptr) {
  return inContext([&](const auto&) {
    Allocation allocation;
    if (!deviceOfAddress(dptr, allocation)) return CUDA_ERROR_NOT_FOUND;
    if (pbase) *pbase = allocation.base;
    if (psize) *psize = allocation.size;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAllocHost_v2(void** pp, size_t bytesize) {
  return inContext([&](const auto& context) {
    return allocateHost(context, bytesize, MemoryKind::HostPinned, CU_MEMHOSTALLOC_DEVICEMAP, pp);
  });
}

CUresult cuMemHostAlloc(void** pp, size_t bytesize, unsigned int flags) {
  return inContext([&](const auto& context) -> CUresult {
    constexpr unsigned known = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
    if (flags & ~known) return CUDA_ERROR_INVALID_VALUE;
    return allocateHost(context, bytesize, MemoryKind::HostPinned, flags, pp);
  });
}

CUresult cuMemFreeHost(void* p) {
  return inContext([&](const auto& context) -> CUresult {
    if (const CUresult status = forbidDuringCapture(); status != CUDA_SUCCESS) return status;
    if (const CUresult status = context->synchronize(); status != CUDA_SUCCESS) return status;
    const auto address = reinterpret_cast<uint64_t>(p);
    Allocation allocation;
    Device* device = allocationAt(address, allocation);
    const bool pinned = device && allocation.kind == MemoryKind::HostPinned && allocation.ownsHost;
    if (!pinned || !forgetAllocation(address)) return CUDA_ERROR_INVALID_VALUE;
    return freeHostMemory(*device, allocation);
  });
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* pdptr, void* p, unsigned int flags) {
  return inContext([&](const auto&) {
    unsigned unused = 0;
    if (!pdptr || flags != 0 || !hostMemoryFlags(p, unused)) return CUDA_ERROR_INVALID_VALUE;
    *pdptr = reinterpret_cast<CUdeviceptr>(p);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostGetFlags(unsigned int* pFlags, void* p) {
  return inContext([&](const auto&) {
    if (!pFlags || !hostMemoryFlags(p, *pFlags)) return CUDA_ERROR_INVALID_VALUE;
    *pFlags |= CU_MEMHOSTALLOC_DEVICEMAP;  // always so with unified addressing
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostRegister_v2(void* p, size_t bytesize, unsigned int flags) {
  return inContext([&](const auto&) -> CUresult {
    constexpr unsigned known = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                               CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;
    if (!p || bytesize == 0 || (flags & ~known)) return CUDA_ERROR_INVALID_VALUE;
    if (flags & CU_MEMHOSTREGISTER_IOMEMORY) return CUDA_ERROR_NOT_SUPPORTED;
    return registerHostMemory(p, bytesize, flags);
  });
}

CUresult cuMemHostUnregister(void* p) {
  return inContext([&](const auto& context) -> CUresult {
    if (!p) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult status = context->synchronize(); status != CUDA_SUCCESS) return status;
    return unregisterHostMemory(p);
  });
}

// Hints on managed memory, which lives in host memory here: checked and accepted.
namespace {

CUresult managedRange(CUdeviceptr address, size_t count) {
  Allocation allocation;
  if (!deviceOfAddress(address, allocation) || !isManaged(allocation.kind) ||
      address - allocation.base + count > allocation.size)
    return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

CUresult advise(CUdeviceptr address, size_t count, CUmem_advise advice) {
  return inContext([&](const auto&) -> CUresult {
    if (advice < CU_MEM_ADVISE_SET_READ_MOSTLY || advice > CU_MEM_ADVISE_UNSET_ACCESSED_BY)
      return CUDA_ERROR_INVALID_VALUE;
    return managedRange(address, count);
  });
}

CUresult prefetch(CUdeviceptr address, size_t count, CUstream stream) {
  return onStream(stream, [&](const StreamUse& use) -> CUresult {
    if (const CUresult status = managedRange(address, count); status != CUDA_SUCCESS) return status;
    return submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_EMPTY, EmptyWork{});
  });
}

}  // namespace

CUresult cuMemAdvise(CUdeviceptr devPtr, size_t count, CUmem_advise advice, CUdevice) {
  return advise(devPtr, count, advice);
}
CUresult cuMemAdvise_v2(CUdeviceptr devPtr, size_t count, CUmem_advise advice, CUmemLocation) {
  return advise(devPtr, count, advice);
}
CUresult cuMemPrefetchAsync(CUdeviceptr devPtr, size_t count, CUdevice, CUstream hStream) {
  return prefetch(devPtr, count, hStream);
}
CUresult cuMemPrefetchAsync_v2(CUdeviceptr devPtr, size_t count, CUmemLocation, unsigned int flags, CUstream hStream) {
  return flags == 0 ? prefetch(devPtr, count, hStream) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuStreamAttachMemAsync(CUstream hStream, CUdeviceptr dptr, size_t, unsigned int) {
  return prefetch(dptr, 0, hStream);
}
