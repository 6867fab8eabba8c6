// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gpusim {

/// splitmix64: small, seedable by any number, the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed = 0) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  /// Uniform below `bound` (bound > 0) up to a bias of 2^-32.
  uint32_t below(uint32_t bound) { return uint32_t(((next() >> 32) * bound) >> 32); }

 private:
  uint64_t state_;
};

}  // namespace gpusim
