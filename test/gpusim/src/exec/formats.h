// SPDX-License-Identifier: Apache-2.0
/// @file formats.h
/// Small floating-point formats, value by value. The vectorised forms of the common ones are in isa/half.inl.
#pragma once

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>

namespace gpusim {

/// Rounds to `mantissa` fraction bits with least normal exponent `minExponent`; mode is one of <cfenv>'s. No overflow.
inline double roundTo(double v, int mantissa, int minExponent, int mode) {
  if (v == 0 || !std::isfinite(v)) return v;
  const int exponent = std::max(std::ilogb(v), minExponent) - mantissa;
  const double q = std::ldexp(v, -exponent);
  double r;
  if (mode == FE_TOWARDZERO)
    r = std::trunc(q);
  else if (mode == FE_DOWNWARD)
    r = std::floor(q);
  else if (mode == FE_UPWARD)
    r = std::ceil(q);
  else {
    r = std::floor(q);
    const double rest = q - r;
    if (rest > 0.5 || (rest == 0.5 && std::fmod(r, 2) != 0)) r += 1;
  }
  return std::copysign(std::ldexp(r, exponent), v);
}

/// A binary16-like format: bits of a rounded value that may have overflowed.
template <int Exponent, int Mantissa>
uint16_t encodeSmall(double v, int mode, bool saturateFinite) {
  constexpr int kBias = (1 << (Exponent - 1)) - 1;
  constexpr uint16_t kSign = 1u << (Exponent + Mantissa);
  constexpr uint16_t kInfinity = ((1u << Exponent) - 1) << Mantissa;
  const uint16_t sign = std::signbit(v) ? kSign : 0;
  if (v != v) return uint16_t(kSign - 1);
  const double largest = std::ldexp(2 - std::ldexp(1, -Mantissa), kBias);
  const double r = std::fabs(roundTo(v, Mantissa, 1 - kBias, mode));
  if (r > largest) {
    const bool away = mode == FE_TONEAREST || (mode == FE_UPWARD && !sign) || (mode == FE_DOWNWARD && sign);
    return uint16_t(sign | ((saturateFinite || (!away && !std::isinf(v))) ? kInfinity - 1 : kInfinity));
  }
  if (r == 0) return sign;
  const int e = std::ilogb(r);
  if (e < 1 - kBias) return uint16_t(sign | uint16_t(std::ldexp(r, Mantissa + kBias - 1)));
  return uint16_t(sign | uint16_t((e + kBias) << Mantissa) | uint16_t(std::ldexp(r, Mantissa - e) - (1 << Mantissa)));
}

inline uint16_t encodeHalf(double v, int mode, bool saturateFinite = false) {
  return encodeSmall<5, 10>(v, mode, saturateFinite);
}
inline uint16_t encodeBfloat(double v, int mode, bool saturateFinite = false) {
  return encodeSmall<8, 7>(v, mode, saturateFinite);
}

/// e5m2 and e4m3 with .satfinite, round to nearest even; NaN becomes 0x7F.
inline uint8_t encodeE5M2(float v) {
  if (v != v) return 0x7F;
  return uint8_t(encodeSmall<5, 2>(v, FE_TONEAREST, true));
}
inline uint8_t encodeE4M3(float v) {
  if (v != v) return 0x7F;
  const uint8_t sign = std::signbit(v) ? 0x80 : 0;
  const double r = std::fabs(roundTo(v, 3, -6, FE_TONEAREST));
  if (r > 448) return sign | 0x7E;
  if (r == 0) return sign;
  const int e = std::ilogb(r);
  if (e < -6) return uint8_t(sign | uint8_t(std::ldexp(r, 9)));
  return uint8_t(sign | uint8_t((e + 7) << 3) | uint8_t(std::ldexp(r, 3 - e) - 8));
}
inline float decodeE4M3(uint8_t b) {
  const int e = b >> 3 & 15, m = b & 7;
  float v = e == 15 && m == 7 ? NAN : e ? std::ldexp(float(8 + m), e - 10) : std::ldexp(float(m), -9);
  return b & 0x80 ? -v : v;
}
inline float decodeE5M2(uint8_t b) {
  const int e = b >> 2 & 31, m = b & 3;
  float v = e == 31 ? (m ? NAN : INFINITY) : e ? std::ldexp(float(4 + m), e - 17) : std::ldexp(float(m), -16);
  return b & 0x80 ? -v : v;
}

inline float decodeHalf(uint16_t h) {
  const uint32_t magnitude = uint32_t(h & 0x7FFF) << 13;
  const uint32_t scaled = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  const uint32_t bits = (h & 0x7C00) == 0x7C00 ? magnitude | 0x7F800000 : scaled;
  return std::bit_cast<float>(bits | uint32_t(h & 0x8000) << 16);
}
inline float decodeBfloat(uint16_t b) { return std::bit_cast<float>(uint32_t(b) << 16); }

/// Round to nearest even; branch-free, so that loops over it vectorise.
inline uint16_t halfFromFloat(float v) {
  const uint32_t bits = std::bit_cast<uint32_t>(v), x = bits & 0x7FFFFFFF, sign = bits >> 16 & 0x8000;
  const uint32_t rounded = ((x + 0xFFF + (x >> 13 & 1)) >> 13) - (112 << 10);
  const uint32_t normal = rounded > 0x7C00 ? 0x7C00 : rounded;
  const uint32_t tiny = std::bit_cast<uint32_t>(std::bit_cast<float>(x < 0x38800000 ? x : 0) + 0.5f) - 0x3F000000;
  const uint32_t r = x < 0x38800000 ? tiny : normal;
  return uint16_t(x > 0x7F800000 ? 0x7FFF : sign | r);
}
inline uint16_t bfloatFromFloat(float v) {
  const uint32_t x = std::bit_cast<uint32_t>(v);
  return uint16_t((x & 0x7FFFFFFF) > 0x7F800000 ? 0x7FFF : (x + 0x7FFF + (x >> 16 & 1)) >> 16);
}

/// f32 to tf32 (19 significant bits in an f32): nearest, ties away from zero.
inline uint32_t tf32FromFloat(uint32_t x) {
  if ((x & 0x7FFFFFFF) >= 0x7F800000) return (x & 0x7FFFFFFF) > 0x7F800000 ? 0x7FFFFFFF : x;
  return (x + 0x1000) & 0xFFFFE000;
}

}  // namespace gpusim
