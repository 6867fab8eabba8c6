// SPDX-License-Identifier: Apache-2.0
// What is known of a pointer.
#include <cstring>

#include "api.h"
#include "copy.h"
#include "pool.h"

using namespace gpusim;

namespace {

template <class T>
CUresult give(void* data, T value) {
  std::memcpy(data, &value, sizeof value);
  return CUDA_SUCCESS;
}

std::shared_ptr<Context> contextFor(Device& device) {
  const auto current = currentContext();
  if (current && &current->device == &device) return current;
  std::lock_guard lock(device.mutex);
  return device.primary;
}

CUresult attributeOf(void* data, CUpointer_attribute which, CUdeviceptr ptr) {
  Allocation allocation;
  Device* device = deviceOfAddress(ptr, allocation);
  if (!device) return CUDA_ERROR_INVALID_VALUE;
  const bool host = allocation.kind == MemoryKind::HostPinned;
  const bool managed = isManaged(allocation.kind);
  switch (which) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      return give(data, asHandle<CUcontext>(contextFor(*device).get()));
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return give(data, static_cast<unsigned>(host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE));
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      return give(data, ptr);
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      if (!host && !managed) return CUDA_ERROR_INVALID_VALUE;
      return give(data, reinterpret_cast<void*>(ptr));
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
      return give(data, 0u);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      return give(data, static_cast<unsigned long long>(allocation.serial));
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      return give(data, static_cast<unsigned>(managed));
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return give(data, device->ordinal);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
      return give(data, static_cast<CUdeviceptr>(allocation.base));
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
      return give(data, static_cast<size_t>(allocation.size));
    case CU_POINTER_ATTRIBUTE_MAPPED:
      return give(data, 1u);
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      return give(data, static_cast<unsigned>(CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      return give(data, asHandle<CUmemoryPool>(poolOf(allocation.base, false).get()));
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      return give(data, static_cast<unsigned long long>(CU_MEM_HANDLE_TYPE_NONE));
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
      return give(data, 0u);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

// What cuPointerGetAttributes gives for memory that CUDA does not know.
void giveUnknown(void* data, CUpointer_attribute which) {
  switch (which) {
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      give(data, -2);
      break;
    case CU_POINTER_ATTRIBUTE_CONTEXT:
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      give(data, uint64_t{0});
      break;
    default:
      give(data, 0u);
      break;
  }
}

}  // namespace

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr ptr) {
  return inContext([&](const auto&) -> CUresult {
    if (!data) return CUDA_ERROR_INVALID_VALUE;
    return attributeOf(data, attribute, ptr);
  });
}

CUresult cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute* attributes, void** data,
                                CUdeviceptr ptr) {
  return inContext([&](const auto&) {
    if (numAttributes == 0 || !attributes || !data) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < numAttributes; ++i)
      if (attributeOf(data[i], attributes[i], ptr) != CUDA_SUCCESS) giveUnknown(data[i], attributes[i]);
    return CUDA_SUCCESS;
  });
}

CUresult cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr ptr) {
  return inContext([&](const auto&) {
    Allocation allocation;
    const bool good = value && attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS && deviceOfAddress(ptr, allocation);
    return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemRangeGetAttribute(void* data, size_t dataSize, CUmem_range_attribute attribute, CUdeviceptr devPtr,
                                size_t count) {
  return inContext([&](const auto&) -> CUresult {
    Allocation allocation;
    if (!data || dataSize < sizeof(int) || !deviceOfAddress(devPtr, allocation) || !isManaged(allocation.kind) ||
        devPtr - allocation.base + count > allocation.size)
      return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
      case CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY:
        return give(data, 0);
      case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION:
      case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION:
      case CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY:
        return give(data, -2);  // CU_DEVICE_INVALID: hints are not kept
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  });
}
