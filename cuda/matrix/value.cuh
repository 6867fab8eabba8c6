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
  const auto* codes = reinterpret_cast<const uint32_t*>(header + layout.headerBytes);
  const auto half = [r](const uint8_t* halves) { return loadFloat(halves, PW_F16, r); };
  const auto code = static_cast<int>(codeAt(codes, codePosition(layout, r, c)));
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
    case PW_MATRIX_W4S:
      return half(header + headerHalfSlice(c / kSliceColumns)) * x;
    case PW_MATRIX_W4X:
      return exponentScale(header[kHeaderScale + r]) * fp4Value(code);
    case PW_MATRIX_W4N:
      return levels[0] *
             (halfToFloat(static_cast<uint16_t>(header[headerScaleSlice(c / kSliceColumns) + r] << 7)) * 256.0f) *
             fp4Value(code);
    case PW_MATRIX_W4K:
    case PW_MATRIX_W5K: {
      const float scale = half(superHeader + kSuperD) * static_cast<float>(header[kHeaderScale + r]);
      const float minimum = half(superHeader + kSuperDMin) * static_cast<float>(header[kHeaderMinK + r]);
      return __fsub_rn(__fmul_rn(scale, x), minimum);
    }
    case PW_MATRIX_W6K:
      return half(superHeader + kSuperD) *
             static_cast<float>(header[headerScaleSlice(c / kSliceColumns) + r] - kScaleBias) * x;
    default:
      return half(header + kHeaderScale) * x;
  }
}

}  // namespace pw::gpu
