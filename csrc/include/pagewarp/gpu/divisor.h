// SPDX-License-Identifier: Apache-2.0
/// @file Division by a number that a whole launch shares, as a multiplication (Granlund and Montgomery, 1994).
#pragma once
#include <stdint.h>

/// n / divisor = (n + high word of n * multiplier) >> shift for 0 <= n < 2^31.
typedef struct pw_gpu_divisor {
  uint32_t divisor, multiplier, shift;
} pw_gpu_divisor;

/// @param divisor from 1 to 2^31 - 1
static inline pw_gpu_divisor pw_gpu_make_divisor(uint32_t divisor) {
  uint32_t shift = 0;
  while (((uint64_t)1 << shift) < divisor) ++shift;
  const uint64_t multiplier = (((uint64_t)1 << 32) * (((uint64_t)1 << shift) - divisor)) / divisor + 1;
  const pw_gpu_divisor result = {divisor, (uint32_t)multiplier, shift};
  return result;
}
