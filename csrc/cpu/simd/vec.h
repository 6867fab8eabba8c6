// SPDX-License-Identifier: Apache-2.0
/// @file `Vec`: a register of f32 lanes of the instruction set that the including file is compiled for.
///
/// PW_ISA names that instruction set's namespace. Everything here is static or in that namespace: see cpu/dispatch.h.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/float16.h"
#include "pagewarp/dtype.h"

#if defined(__AVX512F__)
#define PW_ISA avx512
#include "cpu/simd/vec_avx512.h"
#elif defined(__AVX2__)
#define PW_ISA avx2
#include "cpu/simd/vec_avx2.h"
#else
#define PW_ISA portable
#include "cpu/simd/vec_portable.h"
#endif

namespace pw::cpu::PW_ISA {

/// e^x, relative error below 2e-7 over the f32 range; 0 below -87.3 and +inf above 88.7; NaN stays NaN.
/// Range reduction x = n ln2 + r, |r| <= ln2 / 2, then a degree-6 polynomial (Cephes coefficients).
static inline Vec exp(Vec x) {
  const Vec n = round(x * Vec(1.44269504088896341f));
  Vec r = fma(n, Vec(-0.693359375f), x);
  r = fma(n, Vec(2.12194440e-4f), r);
  Vec p(1.9875691500e-4f);
  p = fma(p, r, Vec(1.3981999507e-3f));
  p = fma(p, r, Vec(8.3334519073e-3f));
  p = fma(p, r, Vec(4.1665795894e-2f));
  p = fma(p, r, Vec(1.6666665459e-1f));
  p = fma(p, r, Vec(5.0000001201e-1f));
  p = fma(p * r, r, r + Vec(1.0f));
  Vec y = scaleByPowerOfTwo(p, n);
  y = select(lessThan(x, Vec(-87.33654f)), Vec(0.0f), y);
  y = select(lessThan(Vec(88.72283f), x), Vec(bitsFloat(0x7f800000u)), y);
  return select(isNaN(x), x, y);
}

/// A row of `T` (float, Half, BFloat) as f32 lanes.
template <class T>
static inline Vec load(const T* p);
template <>
inline Vec load<float>(const float* p) {
  return loadF32(p);
}
template <>
inline Vec load<Half>(const Half* p) {
  return loadF16(reinterpret_cast<const uint16_t*>(p));
}
template <>
inline Vec load<BFloat>(const BFloat* p) {
  return loadBF16(reinterpret_cast<const uint16_t*>(p));
}
template <>
inline Vec load<int8_t>(const int8_t* p) {
  return loadI8(p);
}

static inline void store(float* p, Vec v) { storeF32(p, v); }
static inline void store(Half* p, Vec v) { storeF16(reinterpret_cast<uint16_t*>(p), v); }
static inline void store(BFloat* p, Vec v) { storeBF16(reinterpret_cast<uint16_t*>(p), v); }

/// The first `count` < Vec::kLanes elements; other lanes are `fill`.
template <class T>
static inline Vec loadPartial(const T* p, int64_t count, float fill = 0.0f) {
  float lanes[Vec::kLanes];
  for (int i = 0; i < Vec::kLanes; ++i) lanes[i] = i < count ? toFloat(p[i]) : fill;
  return loadF32(lanes);
}

template <class T>
static inline void storePartial(T* p, Vec v, int64_t count) {
  float lanes[Vec::kLanes];
  storeF32(lanes, v);
  for (int64_t i = 0; i < count; ++i) fromFloat(lanes[i], p + i);
}

/// Calls fn(T*) with the null pointer of the C++ type of a floating dtype: `dispatchFloat(t, [&](auto* tag) { ... })`.
template <class F>
static inline void dispatchFloat(pw_dtype dtype, F&& fn) {
  switch (dtype) {
    case PW_F16:
      return fn(static_cast<Half*>(nullptr));
    case PW_BF16:
      return fn(static_cast<BFloat*>(nullptr));
    default:
      return fn(static_cast<float*>(nullptr));
  }
}

}  // namespace pw::cpu::PW_ISA
