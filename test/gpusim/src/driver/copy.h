// SPDX-License-Identifier: Apache-2.0
// Copies and fills between any two of: device memory, pinned or managed memory, pageable host memory.
#pragma once
#include "cuda_types.h"
#include "work.h"

namespace gpusim {

enum class MemoryPlace {
  kPageable,
  kPinned,  ///< page-locked host memory: copies are truly asynchronous
  kManaged,
  kDevice,
  kInvalid,  ///< a device address where nothing is allocated, or null
};

MemoryPlace placeOf(uint64_t address);

inline bool isHostPlace(MemoryPlace place) { return place == MemoryPlace::kPageable || place == MemoryPlace::kPinned; }

/// Moves bytes between any two addresses; INVALID_VALUE when a device range is not inside one allocation.
CUresult moveBytes(uint64_t destination, uint64_t source, size_t bytes);

CUresult performCopy(const CopyWork& copy);
CUresult performFill(const FillWork& fill);

/// A copy of `bytes` contiguous bytes.
CopyWork linearCopy(uint64_t destination, uint64_t source, size_t bytes);

/// Turns a program's description into a copy. Fails as the driver does: INVALID_VALUE for null or unallocated ends,
/// rows longer than their pitch, unknown memory types; NOT_SUPPORTED for CUDA arrays.
CUresult describeCopy(const CUDA_MEMCPY3D& params, CopyWork& copy);
CUDA_MEMCPY3D toCopy3D(const CUDA_MEMCPY2D& params);

/// Checks that both ends are wholly valid memory.
CUresult validateCopy(const CopyWork& copy);
CUresult validateFill(const FillWork& fill);

/// Reads the source rows now, so that the program may change them before the copy is performed.
void stageSource(CopyWork& copy);

}  // namespace gpusim
