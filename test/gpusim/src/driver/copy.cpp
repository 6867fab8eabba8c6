// SPDX-License-Identifier: Apache-2.0
#include "copy.h"

#include <cstring>

#include "runtime.h"

namespace gpusim {
namespace {

CUresult fromStatus(Status status) { return static_cast<CUresult>(status); }

void* hostPointer(uint64_t address) { return reinterpret_cast<void*>(address); }

// First address behind a pitched box.
uint64_t extent(size_t pitch, size_t slice, size_t width, size_t height, size_t depth) {
  return (depth - 1) * slice + (height - 1) * pitch + width;
}

bool insideAllocation(uint64_t address, uint64_t bytes) {
  Allocation allocation;
  return deviceOfAddress(address, allocation) && address - allocation.base + bytes <= allocation.size;
}

// One end of a copy, as a start address, a pitch and a slice.
struct End {
  uint64_t address = 0;
  size_t pitch = 0;
  size_t slice = 0;
};

CUresult describeEnd(CUmemorytype type, uint64_t host, CUdeviceptr device, size_t x, size_t y, size_t z, size_t pitch,
                     size_t height, const CUDA_MEMCPY3D& params, End& end) {
  uint64_t base = 0;
  switch (type) {
    case CU_MEMORYTYPE_HOST:
      base = host;
      break;
    case CU_MEMORYTYPE_DEVICE:
    case CU_MEMORYTYPE_UNIFIED:
      base = device;
      break;
    case CU_MEMORYTYPE_ARRAY:
      return CUDA_ERROR_NOT_SUPPORTED;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  if (base == 0) return CUDA_ERROR_INVALID_VALUE;
  const bool rows = params.Height > 1 || params.Depth > 1;
  if (pitch == 0) pitch = params.WidthInBytes + x;
  if (rows && pitch < params.WidthInBytes + x) return CUDA_ERROR_INVALID_VALUE;
  if (height == 0) height = params.Height + y;
  if (params.Depth > 1 && height < params.Height + y) return CUDA_ERROR_INVALID_VALUE;
  end.pitch = pitch;
  end.slice = pitch * height;
  end.address = base + z * end.slice + y * pitch + x;
  return CUDA_SUCCESS;
}

}  // namespace

MemoryPlace placeOf(uint64_t address) {
  if (address == 0) return MemoryPlace::kInvalid;
  Allocation allocation;
  if (!deviceOfAddress(address, allocation)) {
    for (const auto& device : devices())
      if (device->state.memory.ownsAddress(address)) return MemoryPlace::kInvalid;
    return MemoryPlace::kPageable;
  }
  switch (allocation.kind) {
    case MemoryKind::HostPinned:
      return MemoryPlace::kPinned;
    case MemoryKind::Managed:
    case MemoryKind::ModuleManaged:
      return MemoryPlace::kManaged;
    default:
      return MemoryPlace::kDevice;
  }
}

CUresult moveBytes(uint64_t destination, uint64_t source, size_t bytes) {
  if (bytes == 0) return CUDA_SUCCESS;
  Allocation to, from;
  Device* toDevice = deviceOfAddress(destination, to);
  Device* fromDevice = deviceOfAddress(source, from);
  if (toDevice && toDevice == fromDevice) return fromStatus(toDevice->state.memory.copy(destination, source, bytes));
  if (toDevice && fromDevice) {
    std::vector<uint8_t> between(bytes);
    const Status status = fromDevice->state.memory.read(between.data(), source, bytes);
    if (status != Status::Success) return fromStatus(status);
    return fromStatus(toDevice->state.memory.write(destination, between.data(), bytes));
  }
  if (toDevice) return fromStatus(toDevice->state.memory.write(destination, hostPointer(source), bytes));
  if (fromDevice) return fromStatus(fromDevice->state.memory.read(hostPointer(destination), source, bytes));
  if (placeOf(destination) == MemoryPlace::kInvalid || placeOf(source) == MemoryPlace::kInvalid)
    return CUDA_ERROR_INVALID_VALUE;
  std::memmove(hostPointer(destination), hostPointer(source), bytes);
  return CUDA_SUCCESS;
}

CUresult performCopy(const CopyWork& copy) {
  for (size_t z = 0; z < copy.depth; ++z) {
    for (size_t y = 0; y < copy.height; ++y) {
      const uint64_t source = copy.staged
                                  ? reinterpret_cast<uint64_t>(copy.staged->data() + (z * copy.height + y) * copy.width)
                                  : copy.source + z * copy.sourceSlice + y * copy.sourcePitch;
      const uint64_t destination = copy.destination + z * copy.destinationSlice + y * copy.destinationPitch;
      if (const CUresult status = moveBytes(destination, source, copy.width); status != CUDA_SUCCESS) return status;
    }
  }
  return CUDA_SUCCESS;
}

CUresult performFill(const FillWork& fill) {
  Allocation allocation;
  Device* device = deviceOfAddress(fill.destination, allocation);
  if (!device) return CUDA_ERROR_INVALID_VALUE;
  for (size_t y = 0; y < fill.height; ++y) {
    const Status status =
        device->state.memory.fill(fill.destination + y * fill.pitch, fill.value, fill.elementSize, fill.width);
    if (status != Status::Success) return fromStatus(status);
  }
  return CUDA_SUCCESS;
}

CopyWork linearCopy(uint64_t destination, uint64_t source, size_t bytes) {
  CopyWork copy;
  copy.source = source;
  copy.destination = destination;
  copy.width = bytes;
  copy.sourcePitch = copy.sourceSlice = copy.destinationPitch = copy.destinationSlice = bytes;
  CUDA_MEMCPY3D& params = copy.described;
  params.srcMemoryType = params.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  params.srcDevice = source;
  params.dstDevice = destination;
  params.srcPitch = params.dstPitch = bytes;
  params.srcHeight = params.dstHeight = 1;
  params.WidthInBytes = bytes;
  params.Height = params.Depth = 1;
  return copy;
}

CUresult describeCopy(const CUDA_MEMCPY3D& params, CopyWork& copy) {
  copy = CopyWork{};
  copy.described = params;
  copy.width = params.WidthInBytes;
  copy.height = params.Height;
  copy.depth = params.Depth;
  if (params.srcLOD != 0 || params.dstLOD != 0) return CUDA_ERROR_INVALID_VALUE;
  End source, destination;
  CUresult status =
      describeEnd(params.srcMemoryType, reinterpret_cast<uint64_t>(params.srcHost), params.srcDevice,
                  params.srcXInBytes, params.srcY, params.srcZ, params.srcPitch, params.srcHeight, params, source);
  if (status != CUDA_SUCCESS) return status;
  status =
      describeEnd(params.dstMemoryType, reinterpret_cast<uint64_t>(params.dstHost), params.dstDevice,
                  params.dstXInBytes, params.dstY, params.dstZ, params.dstPitch, params.dstHeight, params, destination);
  if (status != CUDA_SUCCESS) return status;
  copy.source = source.address;
  copy.sourcePitch = source.pitch;
  copy.sourceSlice = source.slice;
  copy.destination = destination.address;
  copy.destinationPitch = destination.pitch;
  copy.destinationSlice = destination.slice;
  return CUDA_SUCCESS;
}

CUDA_MEMCPY3D toCopy3D(const CUDA_MEMCPY2D& params) {
  CUDA_MEMCPY3D wide{};
  wide.srcXInBytes = params.srcXInBytes;
  wide.srcY = params.srcY;
  wide.srcMemoryType = params.srcMemoryType;
  wide.srcHost = params.srcHost;
  wide.srcDevice = params.srcDevice;
  wide.srcArray = params.srcArray;
  wide.srcPitch = params.srcPitch;
  wide.dstXInBytes = params.dstXInBytes;
  wide.dstY = params.dstY;
  wide.dstMemoryType = params.dstMemoryType;
  wide.dstHost = params.dstHost;
  wide.dstDevice = params.dstDevice;
  wide.dstArray = params.dstArray;
  wide.dstPitch = params.dstPitch;
  wide.WidthInBytes = params.WidthInBytes;
  wide.Height = params.Height;
  wide.Depth = 1;
  return wide;
}

CUresult validateCopy(const CopyWork& copy) {
  if (copy.width == 0 || copy.height == 0 || copy.depth == 0) return CUDA_SUCCESS;
  const auto check = [&](uint64_t address, size_t pitch, size_t slice) {
    switch (placeOf(address)) {
      case MemoryPlace::kInvalid:
        return false;
      case MemoryPlace::kPageable:
        return true;
      default:
        return insideAllocation(address, extent(pitch, slice, copy.width, copy.height, copy.depth));
    }
  };
  const bool good = check(copy.source, copy.sourcePitch, copy.sourceSlice) &&
                    check(copy.destination, copy.destinationPitch, copy.destinationSlice);
  return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult validateFill(const FillWork& fill) {
  if (fill.elementSize != 1 && fill.elementSize != 2 && fill.elementSize != 4) return CUDA_ERROR_INVALID_VALUE;
  if (fill.width == 0 || fill.height == 0) return CUDA_SUCCESS;
  const bool aligned =
      fill.destination % fill.elementSize == 0 &&
      (fill.height == 1 || (fill.pitch % fill.elementSize == 0 && fill.pitch >= fill.width * fill.elementSize));
  if (!aligned) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t bytes = extent(fill.pitch, 0, fill.width * fill.elementSize, fill.height, 1);
  return insideAllocation(fill.destination, bytes) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

void stageSource(CopyWork& copy) {
  auto bytes = std::make_shared<std::vector<uint8_t>>(copy.width * copy.height * copy.depth);
  for (size_t z = 0; z < copy.depth; ++z)
    for (size_t y = 0; y < copy.height; ++y)
      std::memcpy(bytes->data() + (z * copy.height + y) * copy.width,
                  hostPointer(copy.source + z * copy.sourceSlice + y * copy.sourcePitch), copy.width);
  copy.staged = std::move(bytes);
}

}  // namespace gpusim
