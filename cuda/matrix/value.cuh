// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/dtype.cuh"
#include "common/small_floats.cuh"
#include "pagewarp/gpu/matrix_layout.h"

namespace pw::gpu {

/// e2m1
__device__ inline float fp4Value(int code) {
  const float magnitude = 0.5f * static_cast<float>(0xc8643210u >> (code % 8 * 4) & 15);
  return code < 8 ? magnitude : -magnitude;
}

/// One weight of a packed matrix, by the f32 formula of its format.
/// @param levels W4T: the row's table; W4N: its factor
__device__ inline float packedValue(pw_matrix_format format, const uint8_t* matrix, const float* levels, int64_t k,
                                    int64_t row, int64_t column) {
  const PackedLayout layout = packedLayout(format);
  const int64_t strip = row / kStripRows, block = column / kBlockColumns;
  const int r = static_cast<int>(row % kStripRows), c = static_cast<int>(column % kBlockColumns);
  const uint8_t* header = matrix + blockOffset(layout, k, strip, block);
  const uint8_t* superHeader = matrix + superHeaderOffset(layout, k, strip, block);
  const uint8_t* codes = header + layout.headerBytes;
  const auto bits = [codes](CodePosition at) { return codes[at.byte] >> at.shift & ((1 << at.width) - 1); };
  const auto half = [r](const uint8_t* halves) { return loadFloat(halves, PW_F16, r); };
  int code = bits(codePosition(layout, r, c));
  if (layout.hasHighBits()) code |= bits(highCodePosition(layout, r, c)) << 4;
  const auto x = static_cast<float>(code - layout.offset);
  // Products and sums are rounded one by one, as everywhere else.
  switch (format) {
    case PW_MATRIX_W4M:
    case PW_MATRIX_W5M:
      return __fadd_rn(__fmul_rn(half(header + kHeaderScale), x), half(header + kHeaderMin));
    case PW_MATRIX_W4Z: {
      const float scale = half(header + kHeaderScale);
      return __fsub_rn(__fmul_rn(scale, x), __fmul_rn(scale, static_cast<float>(header[kHeaderZero + r])));
    }
    case PW_MATRIX_W4T:
      return half(header + kHeaderScale) * levels[code];
    case PW_MATRIX_W4X:
      return exponentScale(header[kHeaderScale + r]) * fp4Value(code);
    case PW_MATRIX_W4N:
      return levels[0] * e4m3ToFloat(header[headerScaleSlice(c / kSliceColumns) + r]) * fp4Value(code);
    case PW_MATRIX_W4K:
    case PW_MATRIX_W5K: {
      const float scale = half(superHeader + kSuperD) * static_cast<float>(header[kHeaderScale + r]);
      const float minimum = half(superHeader + kSuperDMin) * static_cast<float>(header[kHeaderMinK + r]);
      return __fsub_rn(__fmul_rn(scale, x), minimum);
    }
    case PW_MATRIX_W6K:
      return half(superHeader + kSuperD) *
             static_cast<float>(static_cast<int8_t>(header[headerScaleSlice(c / kSliceColumns) + r])) * x;
    default:
      return half(header + kHeaderScale) * x;
  }
}

}  // namespace pw::gpu
