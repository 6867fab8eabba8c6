// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

namespace pw {

/// Moves a unit of 1, 2, 4, 8 or 16 bytes; without `from`, zeros.
__device__ inline void copyUnit(void* to, const void* from, int unit) {
  const auto move = [&](auto zero) {
    using T = decltype(zero);
    *static_cast<T*>(to) = from ? *static_cast<const T*>(from) : zero;
  };
  switch (unit) {
    case 16:
      return move(uint4{0, 0, 0, 0});
    case 8:
      return move(uint2{0, 0});
    case 4:
      return move(uint32_t{0});
    case 2:
      return move(uint16_t{0});
    default:
      return move(uint8_t{0});
  }
}

}  // namespace pw
