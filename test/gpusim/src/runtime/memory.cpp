// SPDX-License-Identifier: Apache-2.0
// Allocations, pools and what is known of a pointer.
#include <cstring>

#include "runtime_api.h"

using namespace cudart;

namespace {

CUmemLocation driverLocation(const cudaMemLocation& location) {
  CUmemLocation result{};
  result.type = static_cast<CUmemLocationType>(location.type);
  result.id = location.id;
  return result;
}

CUresult describe(cudaPointerAttributes& a, const void* pointer) {
  std::memset(&a, 0, sizeof a);
  a.type = cudaMemoryTypeUnregistered;
  a.device = -1;
  CUmemorytype type{};
  if (cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address(pointer)) != CUDA_SUCCESS) {
    a.hostPointer = const_cast<void*>(pointer);  // memory of the host that the driver does not know
    return CUDA_SUCCESS;
  }
  unsigned managed = 0;
  cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, address(pointer));
  a.type = managed ? cudaMemoryTypeManaged : type == CU_MEMORYTYPE_HOST ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
  cuPointerGetAttribute(&a.device, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address(pointer));
  CUdeviceptr device = 0;
  if (cuPointerGetAttribute(&device, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, address(pointer)) == CUDA_SUCCESS)
    a.devicePointer = reinterpret_cast<void*>(device);
  if (cuPointerGetAttribute(&a.hostPointer, CU_POINTER_ATTRIBUTE_HOST_POINTER, address(pointer)) != CUDA_SUCCESS)
    a.hostPointer = nullptr;
  return CUDA_SUCCESS;
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t size) {
  return inContext([&] {
    *pointer = nullptr;
    return size ? cuMemAlloc(address(pointer), size) : CUDA_SUCCESS;
  });
}
cudaError_t cudaFree(void* pointer) {
  return inContext([&] { return pointer ? cuMemFree(address(pointer)) : CUDA_SUCCESS; });
}
cudaError_t cudaMallocPitch(void** pointer, size_t* pitch, size_t width, size_t height) {
  return inContext([&] {
    *pointer = nullptr;
    return width && height ? cuMemAllocPitch(address(pointer), pitch, width, height, 4) : CUDA_SUCCESS;
  });
}
cudaError_t cudaMalloc3D(cudaPitchedPtr* pitched, cudaExtent extent) {
  pitched->xsize = extent.width, pitched->ysize = extent.height;
  return cudaMallocPitch(&pitched->ptr, &pitched->pitch, extent.width, extent.height * extent.depth);
}
cudaError_t cudaMallocManaged(void** pointer, size_t size, unsigned int flags) {
  return inContext([&] { return cuMemAllocManaged(address(pointer), size, flags); });
}

cudaError_t cudaMallocHost(void** pointer, size_t size) {
  return inContext([&] { return cuMemAllocHost(pointer, size); });
}
cudaError_t cudaHostAlloc(void** pointer, size_t size, unsigned int flags) {
  return inContext([&] { return cuMemHostAlloc(pointer, size, flags); });
}
cudaError_t cudaFreeHost(void* pointer) {
  return inContext([&] { return pointer ? cuMemFreeHost(pointer) : CUDA_SUCCESS; });
}
cudaError_t cudaHostRegister(void* pointer, size_t size, unsigned int flags) {
  return inContext([&] { return cuMemHostRegister(pointer, size, flags); });
}
cudaError_t cudaHostUnregister(void* pointer) {
  return inContext([&] { return cuMemHostUnregister(pointer); });
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned int flags) {
  return inContext([&] { return cuMemHostGetDevicePointer(address(device), host, flags); });
}
cudaError_t cudaHostGetFlags(unsigned int* flags, void* host) {
  return inContext([&] { return cuMemHostGetFlags(flags, host); });
}

cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  return inContext([&] { return cuMemGetInfo(available, total); });
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return inContext([&] { return describe(*attributes, pointer); });
}
cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t bytes) {
  return inContext([&] { return cuMemcpy(address(to), address(from), bytes); });
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes, cudaStream_t stream) {
  return inContext([&] { return cuMemcpyAsync(address(to), address(from), bytes, stream); });
}
cudaError_t cudaMemAdvise(const void* pointer, size_t bytes, cudaMemoryAdvise advice, cudaMemLocation location) {
  return inContext([&] {
    return cuMemAdvise(address(pointer), bytes, static_cast<CUmem_advise>(advice), driverLocation(location));
  });
}

cudaError_t cudaMemRangeGetAttribute(void* data, size_t size, cudaMemRangeAttribute attribute, const void* pointer,
                                     size_t bytes) {
  return inContext([&] {
    return cuMemRangeGetAttribute(data, size, static_cast<CUmem_range_attribute>(attribute), address(pointer), bytes);
  });
}

cudaChannelFormatDesc cudaCreateChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind kind) {
  return {x, y, z, w, kind};
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return inContext([&] { return cuDeviceGetDefaultMemPool(pool, device); });
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
  return inContext([&] { return cuDeviceGetMemPool(pool, device); });
}
cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t pool) {
  return inContext([&] { return cuDeviceSetMemPool(device, pool); });
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  static_assert(sizeof(cudaMemPoolProps) == sizeof(CUmemPoolProps));
  return inContext([&] { return cuMemPoolCreate(pool, reinterpret_cast<const CUmemPoolProps*>(properties)); });
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  return inContext([&] { return cuMemPoolDestroy(pool); });
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t keep) {
  return inContext([&] { return cuMemPoolTrimTo(pool, keep); });
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return inContext([&] { return cuMemPoolSetAttribute(pool, static_cast<CUmemPool_attribute>(attribute), value); });
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return inContext([&] { return cuMemPoolGetAttribute(pool, static_cast<CUmemPool_attribute>(attribute), value); });
}
cudaError_t cudaMemPoolSetAccess(cudaMemPool_t pool, const cudaMemAccessDesc* access, size_t count) {
  static_assert(sizeof(cudaMemAccessDesc) == sizeof(CUmemAccessDesc));
  return inContext([&] { return cuMemPoolSetAccess(pool, reinterpret_cast<const CUmemAccessDesc*>(access), count); });
}

}  // extern "C"
