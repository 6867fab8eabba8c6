// SPDX-License-Identifier: Apache-2.0
/// @file Activations rounded to 8-bit integers, bit for bit the same wherever that is done: in linear layers, and in
/// what makes their inputs.
///
/// Columns that share a scale have scale = their largest magnitude / 127 and, for each element, the integer nearest to
/// x * (127 / their largest magnitude), ties to even, all in f32. What is not finite is so to float arithmetic: with a
/// NaN the scale is NaN and all codes 0; else with an infinity it is infinite, infinities are +-1 and all else 0.
///
/// Three arrays, each contiguous, for rows of k columns, a multiple of 32:
///            codes i8 [rows, k]             scales f32         sums of codes i32
///     CPU    in the order of the columns    [rows, k / 32]     [rows, k / 16]
///     CUDA   in that of gpu::int8Position   [rows]             [rows, k / 32]
#pragma once
#include <float.h>
#include <math.h>

#include "pagewarp/host_device.h"

/// Of columns whose largest magnitude this is; NaN where one of them is.
PW_HOST_DEVICE static inline float pw_int8_scale(float largest) {
  // The reciprocal could overflow; such columns are zero to any weight that a model holds.
  return largest < 0x1p-100f ? 0.0f : largest / 127.0f;
}
/// What elements are multiplied by before they are rounded.
PW_HOST_DEVICE static inline float pw_int8_inverse(float largest) {
  return largest < 0x1p-100f ? 0.0f : 127.0f / largest;
}
/// Where the scale is not finite.
PW_HOST_DEVICE static inline int pw_int8_special_code(float x, float scale) {
  return scale != scale ? 0 : x > FLT_MAX ? 1 : x < -FLT_MAX ? -1 : 0;
}
PW_HOST_DEVICE static inline int pw_int8_code(float x, float scale, float inverse) {
  return scale - scale != 0.0f ? pw_int8_special_code(x, scale) : (int)rintf(x * inverse);
}
