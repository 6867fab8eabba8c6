// SPDX-License-Identifier: Apache-2.0
#include "cpu/rows.h"

#include <limits>

#include "core/float16.h"

namespace pw::cpu {
namespace {

/// Rounds towards zero; what does not fit becomes the nearest value that does, and NaN becomes 0.
template <class T>
T toInteger(double value) {
  constexpr T kLeast = std::numeric_limits<T>::min(), kMost = std::numeric_limits<T>::max();
  if (value <= static_cast<double>(kLeast)) return kLeast;
  if (value >= static_cast<double>(kMost)) return kMost;
  return value == value ? static_cast<T>(value) : T{0};
}

}  // namespace

double readElement(const void* row, pw_dtype dtype, int64_t i) {
  switch (dtype) {
    case PW_F32:
      return static_cast<const float*>(row)[i];
    case PW_F16:
      return toFloat(static_cast<const Half*>(row)[i]);
    case PW_BF16:
      return toFloat(static_cast<const BFloat*>(row)[i]);
    case PW_I8:
      return static_cast<const int8_t*>(row)[i];
    case PW_U8:
      return static_cast<const uint8_t*>(row)[i];
    case PW_I32:
      return static_cast<const int32_t*>(row)[i];
    case PW_I64:
      break;
  }
  return static_cast<double>(static_cast<const int64_t*>(row)[i]);
}

void writeElement(void* row, pw_dtype dtype, int64_t i, double value) {
  switch (dtype) {
    case PW_F32:
      static_cast<float*>(row)[i] = static_cast<float>(value);
      return;
    case PW_F16:
      return fromFloat(static_cast<float>(value), static_cast<Half*>(row) + i);
    case PW_BF16:
      return fromFloat(static_cast<float>(value), static_cast<BFloat*>(row) + i);
    case PW_I8:
      static_cast<int8_t*>(row)[i] = toInteger<int8_t>(value);
      return;
    case PW_U8:
      static_cast<uint8_t*>(row)[i] = toInteger<uint8_t>(value);
      return;
    case PW_I32:
      static_cast<int32_t*>(row)[i] = toInteger<int32_t>(value);
      return;
    case PW_I64:
      static_cast<int64_t*>(row)[i] = toInteger<int64_t>(value);
      return;
  }
}

}  // namespace pw::cpu
