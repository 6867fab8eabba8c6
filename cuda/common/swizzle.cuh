// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

namespace pw {

/// Where 16-byte chunk `chunk` of row `row` lies in a tile of rows of kRowBytes (a power of two, 32 or more) in shared
/// memory: any 8 consecutive rows have a chunk in 8 different quarters of the 32 banks, and so have 8 consecutive
/// chunks of a row. So both row-wise copies and ldmatrix are free of bank conflicts.
template <int kRowBytes>
__device__ inline uint32_t swizzled(uint32_t row, uint32_t chunk) {
  static_assert(kRowBytes >= 32 && (kRowBytes & (kRowBytes - 1)) == 0, "rows are at least 32 bytes");
  constexpr uint32_t kRowsPerLine = kRowBytes >= 128 ? 1 : 128 / kRowBytes;
  constexpr uint32_t kMask = (kRowBytes >= 128 ? 128 : kRowBytes) / 16 - 1;
  return row * kRowBytes + ((chunk ^ ((row / kRowsPerLine) & kMask)) << 4);
}

}  // namespace pw
