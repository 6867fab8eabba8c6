// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/gpu/divisor.h"

namespace pw {

/// n / d for 0 <= n < 2^31.
__device__ inline int quotient(int n, const pw_gpu_divisor& d) {
  return static_cast<int>((__umulhi(static_cast<uint32_t>(n), d.multiplier) + static_cast<uint32_t>(n)) >> d.shift);
}

__device__ inline int remainder(int n, int quotient, const pw_gpu_divisor& d) {
  return n - quotient * static_cast<int>(d.divisor);
}

}  // namespace pw
