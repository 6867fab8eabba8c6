// SPDX-License-Identifier: Apache-2.0
/// @file Integer arithmetic that says when it does not fit: for sizes that come from files and callers.
#pragma once
#include <cstdint>
#include <limits>

namespace pw {

/// *out = a * b; false (and *out untouched) on overflow.
inline bool checkedMultiply(int64_t a, int64_t b, int64_t* out) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max(), kMin = std::numeric_limits<int64_t>::min();
  if (a > 0 ? (b > kMax / a || b < kMin / a) : a < 0 ? (b > 0 ? a < kMin / b : (b < 0 && a < kMax / b)) : false)
    return false;
  *out = a * b;
  return true;
}

/// *out = a + b; false (and *out untouched) on overflow.
inline bool checkedAdd(int64_t a, int64_t b, int64_t* out) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max(), kMin = std::numeric_limits<int64_t>::min();
  if (b > 0 ? a > kMax - b : a < kMin - b) return false;
  *out = a + b;
  return true;
}

}  // namespace pw
