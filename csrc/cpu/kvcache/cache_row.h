// SPDX-License-Identifier: Apache-2.0
/// @file Rows of a KV cache as f32 lanes: `load(row + d)` whatever the cache holds. Codes come without their scale.
#pragma once
#include "cpu/simd/vec.h"
#include "pagewarp/kv_codes.h"

namespace pw {

/// What a cache holds besides float, Half, BFloat and int8_t.
struct E4M3 {
  uint8_t bits;
};
static inline float toFloat(E4M3 x) { return pw_kv_decode_e4m3(x.bits); }

}  // namespace pw

namespace pw::cpu::PW_ISA {

template <>
inline Vec load<E4M3>(const E4M3* p) {
  return loadE4M3(&p->bits);
}

/// Two codes a byte; offsets are of elements, and even.
struct Int4Row {
  const uint8_t* bytes;
  Int4Row operator+(int64_t elements) const { return {bytes + elements / 2}; }
};
static inline Vec load(Int4Row row) { return loadI4(row.bytes); }
static inline Vec loadPartial(Int4Row row, int64_t count) {
  float lanes[Vec::kLanes];
  for (int i = 0; i < Vec::kLanes; ++i) lanes[i] = i < count ? pw_kv_decode(PW_KV_I4, row.bytes, i) : 0.0f;
  return loadF32(lanes);
}

/// A cache of T: `Row` is what points to the elements of a row, which begins at `bytes`.
template <class T>
struct CacheOf {
  using Row = const T*;
  static Row rowAt(const char* bytes) { return reinterpret_cast<Row>(bytes); }
  static int64_t rowBytes(int64_t dim) { return dim * static_cast<int64_t>(sizeof(T)); }
};
struct Int4Cache {
  using Row = Int4Row;
  static Row rowAt(const char* bytes) { return {reinterpret_cast<const uint8_t*>(bytes)}; }
  static int64_t rowBytes(int64_t dim) { return dim / 2; }
};

/// Calls fn with a value of the CacheOf, or Int4Cache, of a type.
template <class F>
static inline void dispatchCache(pw_kv_type type, F&& fn) {
  switch (type) {
    case PW_KV_F16:
      return fn(CacheOf<Half>());
    case PW_KV_BF16:
      return fn(CacheOf<BFloat>());
    case PW_KV_I8:
      return fn(CacheOf<int8_t>());
    case PW_KV_FP8_E4M3:
      return fn(CacheOf<E4M3>());
    case PW_KV_I4:
      return fn(Int4Cache());
    default:
      return fn(CacheOf<float>());
  }
}

}  // namespace pw::cpu::PW_ISA
