// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime_api.h"

namespace cudart {

inline CUmemorytype sourceType(cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return CU_MEMORYTYPE_UNIFIED;
  const bool host = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyHostToHost;
  return host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
}
inline CUmemorytype destinationType(cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return CU_MEMORYTYPE_UNIFIED;
  const bool host = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyHostToHost;
  return host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
}

/// Copies between CUDA arrays do not exist here.
inline bool linear(const cudaMemcpy3DParms& p) { return !p.srcArray && !p.dstArray; }

inline CUDA_MEMCPY3D box(const cudaMemcpy3DParms& p) {
  CUDA_MEMCPY3D c{};
  c.srcMemoryType = sourceType(p.kind), c.dstMemoryType = destinationType(p.kind);
  c.srcHost = p.srcPtr.ptr, c.srcDevice = address(p.srcPtr.ptr);
  c.srcPitch = p.srcPtr.pitch, c.srcHeight = p.srcPtr.ysize;
  c.srcXInBytes = p.srcPos.x, c.srcY = p.srcPos.y, c.srcZ = p.srcPos.z;
  c.dstHost = p.dstPtr.ptr, c.dstDevice = address(p.dstPtr.ptr);
  c.dstPitch = p.dstPtr.pitch, c.dstHeight = p.dstPtr.ysize;
  c.dstXInBytes = p.dstPos.x, c.dstY = p.dstPos.y, c.dstZ = p.dstPos.z;
  c.WidthInBytes = p.extent.width, c.Height = p.extent.height, c.Depth = p.extent.depth;
  return c;
}

/// Calls `use` with the place `offset` bytes into a variable, of which at least `bytes` are left.
template <class Use>
cudaError_t withVariable(const void* symbol, size_t offset, size_t bytes, Use use) {
  return inContext([&] {
    CUdeviceptr at = 0;
    size_t size = 0;
    if (const cudaError_t error = findVariable(symbol, at, size); error != cudaSuccess) return error;
    if (offset > size || bytes > size - offset) return cudaErrorInvalidValue;
    return convert(use(reinterpret_cast<void*>(at + offset)));
  });
}

}  // namespace cudart
