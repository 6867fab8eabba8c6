// SPDX-License-Identifier: Apache-2.0
/// @file Scalar conversions between f32 and the 16-bit formats, round to nearest even. `static`, so that each
/// instruction set's translation unit has its own copy.
#pragma once
#include <cstdint>
#include <cstring>

namespace pw {

/// Storage types: distinct from uint16_t so that overloads pick the right conversion.
struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};

static inline uint32_t floatBits(float x) {
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}

static inline float bitsFloat(uint32_t u) {
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

static inline float toFloat(float x) { return x; }

static inline float toFloat(int8_t x) { return static_cast<float>(x); }

static inline float toFloat(BFloat x) { return bitsFloat(static_cast<uint32_t>(x.bits) << 16); }

static inline float toFloat(Half x) {
  const uint32_t sign = (x.bits & 0x8000u) << 16, magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return bitsFloat(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  if (magnitude >= 0x0400u) return bitsFloat(sign | ((magnitude + 0x1c000u) << 13));
  // Subnormal: an integer multiple of 2^-24, exact in f32.
  return bitsFloat(sign | floatBits(static_cast<float>(magnitude) * 0x1p-24f));
}

static inline void fromFloat(float x, float* out) { *out = x; }

static inline void fromFloat(float x, BFloat* out) {
  const uint32_t u = floatBits(x);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    out->bits = static_cast<uint16_t>((u >> 16) | 0x40u);  // keep NaN a NaN
  else
    out->bits = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline void fromFloat(float x, Half* out) {
  const uint32_t u = floatBits(x), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
  uint32_t h;
  if (magnitude > 0x7f800000u) {
    h = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // rounds to 65520 or more
    h = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // normal
    h = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  } else {
    // Adding 0.5 aligns the subnormal's last bit with the f32's: the hardware rounds to nearest even.
    h = floatBits(bitsFloat(magnitude) + 0.5f) - 0x3f000000u;
  }
  out->bits = static_cast<uint16_t>(sign | h);
}

}  // namespace pw
