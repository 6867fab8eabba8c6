// SPDX-License-Identifier: Apache-2.0
// Copies of every kind but those of CUDA arrays.
#include "api.h"
#include "transfer.h"

using namespace gpusim;

namespace {

enum class Direction { kAny, kHostToDevice, kDeviceToHost, kDeviceToDevice };

uint64_t address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

// The functions that name a direction want device memory (or pinned or managed) on the device's side.
bool fits(Direction direction, uint64_t destination, uint64_t source) {
  const auto pageable = [](uint64_t where) { return placeOf(where) == MemoryPlace::kPageable; };
  switch (direction) {
    case Direction::kHostToDevice:
      return !pageable(destination) && placeOf(source) != MemoryPlace::kDevice;
    case Direction::kDeviceToHost:
      return !pageable(source) && placeOf(destination) != MemoryPlace::kDevice;
    case Direction::kDeviceToDevice:
      return !pageable(source) && !pageable(destination);
    default:
      return true;
  }
}

CUresult linear(Direction direction, uint64_t destination, uint64_t source, size_t bytes) {
  return inContext([&](const auto& context) -> CUresult {
    if (bytes == 0) return CUDA_SUCCESS;
    if (!fits(direction, destination, source)) return CUDA_ERROR_INVALID_VALUE;
    return copyNow(context, linearCopy(destination, source, bytes));
  });
}

CUresult linearAsync(Direction direction, uint64_t destination, uint64_t source, size_t bytes, CUstream stream) {
  return onStream(stream, [&](const StreamUse& use) -> CUresult {
    if (bytes == 0) return CUDA_SUCCESS;
    if (!fits(direction, destination, source)) return CUDA_ERROR_INVALID_VALUE;
    return copyLater(use, linearCopy(destination, source, bytes));
  });
}

CUresult box(const CUDA_MEMCPY3D& params) {
  return inContext([&](const auto& context) -> CUresult {
    CopyWork copy;
    const CUresult status = describeCopy(params, copy);
    return status == CUDA_SUCCESS ? copyNow(context, std::move(copy)) : status;
  });
}

CUresult boxAsync(const CUDA_MEMCPY3D& params, CUstream stream) {
  return onStream(stream, [&](const StreamUse& use) -> CUresult {
    CopyWork copy;
    const CUresult status = describeCopy(params, copy);
    return status == CUDA_SUCCESS ? copyLater(use, std::move(copy)) : status;
  });
}

// Addresses say which device they are on, so that the contexts of a peer copy add nothing.
CUDA_MEMCPY3D withoutContexts(const CUDA_MEMCPY3D_PEER& params) {
  static_assert(sizeof(CUDA_MEMCPY3D) == sizeof(CUDA_MEMCPY3D_PEER));
  CUDA_MEMCPY3D plain{};
  plain.srcXInBytes = params.srcXInBytes;
  plain.srcY = params.srcY;
  plain.srcZ = params.srcZ;
  plain.srcLOD = params.srcLOD;
  plain.srcMemoryType = params.srcMemoryType;
  plain.srcHost = params.srcHost;
  plain.srcDevice = params.srcDevice;
  plain.srcArray = params.srcArray;
  plain.srcPitch = params.srcPitch;
  plain.srcHeight = params.srcHeight;
  plain.dstXInBytes = params.dstXInBytes;
  plain.dstY = params.dstY;
  plain.dstZ = params.dstZ;
  plain.dstLOD = params.dstLOD;
  plain.dstMemoryType = params.dstMemoryType;
  plain.dstHost = params.dstHost;
  plain.dstDevice = params.dstDevice;
  plain.dstArray = params.dstArray;
  plain.dstPitch = params.dstPitch;
  plain.dstHeight = params.dstHeight;
  plain.WidthInBytes = params.WidthInBytes;
  plain.Height = params.Height;
  plain.Depth = params.Depth;
  return plain;
}

}  // namespace

CUresult cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount) {
  return linear(Direction::kAny, dst, src, ByteCount);
}
CUresult cuMemcpyHtoD_v2(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount) {
  return linear(Direction::kHostToDevice, dstDevice, address(srcHost), ByteCount);
}
CUresult cuMemcpyDtoH_v2(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount) {
  return linear(Direction::kDeviceToHost, address(dstHost), srcDevice, ByteCount);
}
CUresult cuMemcpyDtoD_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount) {
  return linear(Direction::kDeviceToDevice, dstDevice, srcDevice, ByteCount);
}
CUresult cuMemcpyPeer(CUdeviceptr dstDevice, CUcontext, CUdeviceptr srcDevice, CUcontext, size_t ByteCount) {
  return linear(Direction::kDeviceToDevice, dstDevice, srcDevice, ByteCount);
}

CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream) {
  return linearAsync(Direction::kAny, dst, src, ByteCount, hStream);
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount, CUstream hStream) {
  return linearAsync(Direction::kHostToDevice, dstDevice, address(srcHost), ByteCount, hStream);
}
CUresult cuMemcpyDtoHAsync_v2(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return linearAsync(Direction::kDeviceToHost, address(dstHost), srcDevice, ByteCount, hStream);
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return linearAsync(Direction::kDeviceToDevice, dstDevice, srcDevice, ByteCount, hStream);
}
CUresult cuMemcpyPeerAsync(CUdeviceptr dstDevice, CUcontext, CUdeviceptr srcDevice, CUcontext, size_t ByteCount,
                           CUstream hStream) {
  return linearAsync(Direction::kDeviceToDevice, dstDevice, srcDevice, ByteCount, hStream);
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D* pCopy) { return pCopy ? box(toCopy3D(*pCopy)) : CUDA_ERROR_INVALID_VALUE; }
CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* pCopy) { return cuMemcpy2D_v2(pCopy); }
CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* pCopy, CUstream hStream) {
  return pCopy ? boxAsync(toCopy3D(*pCopy), hStream) : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D* pCopy) { return pCopy ? box(*pCopy) : CUDA_ERROR_INVALID_VALUE; }
CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* pCopy, CUstream hStream) {
  return pCopy ? boxAsync(*pCopy, hStream) : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER* pCopy) {
  return pCopy ? box(withoutContexts(*pCopy)) : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* pCopy, CUstream hStream) {
  return pCopy ? boxAsync(withoutContexts(*pCopy), hStream) : CUDA_ERROR_INVALID_VALUE;
}
