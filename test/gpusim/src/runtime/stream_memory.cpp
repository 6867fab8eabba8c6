// SPDX-License-Identifier: Apache-2.0
// Copies, fills and stream-ordered allocations. Compiled twice, see stream_launch.cpp.
#include "copy_box.h"

using namespace cudart;

namespace {

CUresult copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  switch (kind) {
    case cudaMemcpyHostToDevice:
      return cuMemcpyHtoD(address(to), from, bytes);
    case cudaMemcpyDeviceToHost:
      return cuMemcpyDtoH(to, address(from), bytes);
    case cudaMemcpyDeviceToDevice:
      return cuMemcpyDtoD(address(to), address(from), bytes);
    default:
      return cuMemcpy(address(to), address(from), bytes);
  }
}

CUresult copyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, CUstream stream) {
  switch (kind) {
    case cudaMemcpyHostToDevice:
      return cuMemcpyHtoDAsync(address(to), from, bytes, stream);
    case cudaMemcpyDeviceToHost:
      return cuMemcpyDtoHAsync(to, address(from), bytes, stream);
    case cudaMemcpyDeviceToDevice:
      return cuMemcpyDtoDAsync(address(to), address(from), bytes, stream);
    default:
      return cuMemcpyAsync(address(to), address(from), bytes, stream);
  }
}

CUDA_MEMCPY2D rectangle(void* to, size_t toPitch, const void* from, size_t fromPitch, size_t width, size_t height,
                        cudaMemcpyKind kind) {
  CUDA_MEMCPY2D c{};
  c.srcMemoryType = sourceType(kind), c.dstMemoryType = destinationType(kind);
  c.srcHost = from, c.srcDevice = address(from), c.srcPitch = fromPitch;
  c.dstHost = to, c.dstDevice = address(to), c.dstPitch = toPitch;
  c.WidthInBytes = width, c.Height = height;
  return c;
}

}  // namespace

extern "C" {

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return inContext([&] { return bytes ? copy(to, from, bytes, kind) : CUDA_SUCCESS; });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return inContext([&] { return bytes ? copyAsync(to, from, bytes, kind, stream) : CUDA_SUCCESS; });
}
cudaError_t cudaMemcpy2D(void* to, size_t toPitch, const void* from, size_t fromPitch, size_t width, size_t height,
                         cudaMemcpyKind kind) {
  const CUDA_MEMCPY2D c = rectangle(to, toPitch, from, fromPitch, width, height, kind);
  return inContext([&] { return cuMemcpy2DUnaligned(&c); });
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t toPitch, const void* from, size_t fromPitch, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  const CUDA_MEMCPY2D c = rectangle(to, toPitch, from, fromPitch, width, height, kind);
  return inContext([&] { return cuMemcpy2DAsync(&c, stream); });
}
cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* p) {
  return inContext([&] {
    if (!linear(*p)) return CUDA_ERROR_NOT_SUPPORTED;
    const CUDA_MEMCPY3D c = box(*p);
    return cuMemcpy3D(&c);
  });
}
cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* p, cudaStream_t stream) {
  return inContext([&] {
    if (!linear(*p)) return CUDA_ERROR_NOT_SUPPORTED;
    const CUDA_MEMCPY3D c = box(*p);
    return cuMemcpy3DAsync(&c, stream);
  });
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return withVariable(symbol, offset, bytes, [&](void* to) { return copy(to, from, bytes, kind); });
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return withVariable(symbol, offset, bytes, [&](void* from) { return copy(to, from, bytes, kind); });
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  return withVariable(symbol, offset, bytes, [&](void* to) { return copyAsync(to, from, bytes, kind, stream); });
}
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  return withVariable(symbol, offset, bytes, [&](void* from) { return copyAsync(to, from, bytes, kind, stream); });
}

cudaError_t cudaMemset(void* pointer, int value, size_t bytes) {
  return inContext(
      [&] { return bytes ? cuMemsetD8(address(pointer), static_cast<unsigned char>(value), bytes) : CUDA_SUCCESS; });
}
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  return inContext([&] {
    return bytes ? cuMemsetD8Async(address(pointer), static_cast<unsigned char>(value), bytes, stream) : CUDA_SUCCESS;
  });
}
cudaError_t cudaMemset2D(void* pointer, size_t pitch, int value, size_t width, size_t height) {
  return inContext(
      [&] { return cuMemsetD2D8(address(pointer), pitch, static_cast<unsigned char>(value), width, height); });
}
cudaError_t cudaMemset2DAsync(void* pointer, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  return inContext([&] {
    return cuMemsetD2D8Async(address(pointer), pitch, static_cast<unsigned char>(value), width, height, stream);
  });
}

cudaError_t cudaMallocAsync(void** pointer, size_t size, cudaStream_t stream) {
  return inContext([&] {
    *pointer = nullptr;
    return size ? cuMemAllocAsync(address(pointer), size, stream) : CUDA_SUCCESS;
  });
}
cudaError_t cudaMallocFromPoolAsync(void** pointer, size_t size, cudaMemPool_t pool, cudaStream_t stream) {
  return inContext([&] { return cuMemAllocFromPoolAsync(address(pointer), size, pool, stream); });
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return inContext([&] { return pointer ? cuMemFreeAsync(address(pointer), stream) : CUDA_SUCCESS; });
}

cudaError_t cudaMemPrefetchAsync(const void* pointer, size_t bytes, cudaMemLocation location, unsigned int flags,
                                 cudaStream_t stream) {
  return inContext([&] {
    CUmemLocation where{};
    where.type = static_cast<CUmemLocationType>(location.type), where.id = location.id;
    return cuMemPrefetchAsync(address(pointer), bytes, where, flags, stream);
  });
}

}  // extern "C"
