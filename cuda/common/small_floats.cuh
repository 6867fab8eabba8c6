// SPDX-License-Identifier: Apache-2.0
/// @file OCP's 8-bit scales as f32, without rounding.
#pragma once
#include <stdint.h>

namespace pw {

/// E8M0, 2^(e - 127): subnormal for 0, infinity for 255.
__device__ inline float exponentScale(uint32_t e) { return __uint_as_float(e == 0 ? 0x00400000u : e << 23); }

/// E4M3: four bits of exponent, three of mantissa; no infinities, one NaN per sign.
__device__ inline float e4m3ToFloat(uint32_t bits) {
  const uint32_t magnitude = bits & 0x7f;
  // From f32's bias to e4m3's, subnormal numbers included.
  const float value = magnitude == 0x7f ? __uint_as_float(0x7fc00000u) : __uint_as_float(magnitude << 20) * 0x1p120f;
  return bits & 0x80 ? -value : value;
}

}  // namespace pw
