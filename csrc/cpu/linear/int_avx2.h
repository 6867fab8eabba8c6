// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/linear/activations.h"
#include "cpu/simd/unroll.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

/// Tokens of the widest tile, and the most in a tile of what is left over.
constexpr int kWideTile = 8, kNarrowTile = 7;

/// Half a vector of codes: 8 rows x 4 columns, unsigned bytes.
struct Bytes {
  __m256i v;
};
/// One i32 a row.
struct Ints {
  __m256i v;
};

inline Bytes loadBytes(const uint8_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
inline Bytes lowNibbles(Bytes b) { return {_mm256_and_si256(b.v, _mm256_set1_epi8(15))}; }
inline Bytes highNibbles(Bytes b) { return {_mm256_and_si256(_mm256_srli_epi16(b.v, 4), _mm256_set1_epi8(15))}; }

/// low | (field `i` of `pairs`) << 4.
template <int i>
inline Bytes withHighPair(Bytes low, Bytes pairs) {
  const __m256i shifted =
      i < 2 ? _mm256_slli_epi16(pairs.v, i < 2 ? 4 - 2 * i : 0) : _mm256_srli_epi16(pairs.v, i < 2 ? 0 : 2 * i - 4);
  return {_mm256_or_si256(_mm256_and_si256(shifted, _mm256_set1_epi8(0x30)), low.v)};
}

/// low | (bit `i` of `bits`) << 4.
template <int i>
inline Bytes withHighBit(Bytes low, Bytes bits) {
  const __m256i shifted =
      i < 4 ? _mm256_slli_epi16(bits.v, i < 4 ? 4 - i : 0) : _mm256_srli_epi16(bits.v, i < 4 ? 0 : i - 4);
  return {_mm256_or_si256(_mm256_and_si256(shifted, _mm256_set1_epi8(0x10)), low.v)};
}

/// 16 bytes, by which nibbles are replaced.
struct OneTable {
  __m256i v;
};
inline OneTable loadTable(const uint8_t* p) {
  return {_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline Bytes lookUp(Bytes nibbles, OneTable table) { return {_mm256_shuffle_epi8(table.v, nibbles.v)}; }

/// A table for each of 8 rows. A shuffle takes one table per 128-bit lane, which has four rows: v[r] holds those of the
/// lanes' r-th rows.
struct RowTables {
  __m256i v[4];
};
inline RowTables loadRowTables(const uint8_t* p) {
  const auto table = [p](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * row)); };
  RowTables t;
  PW_UNROLL for (int r = 0; r < 4; ++r) t.v[r] = _mm256_setr_m128i(table(r), table(r + 4));
  return t;
}
inline Bytes lookUp(Bytes nibbles, const RowTables& t) {
  // An index with its top bit set gives zero: each shuffle answers for one row of four.
  __m256i v = _mm256_setzero_si256();
  PW_UNROLL for (int r = 0; r < 4; ++r) {
    const __m256i others = _mm256_set1_epi32(static_cast<int>(0x80808080u));
    const __m256i row = _mm256_set_epi32(r == 3, r == 2, r == 1, r == 0, r == 3, r == 2, r == 1, r == 0);
    const __m256i mask = _mm256_andnot_si256(_mm256_sub_epi32(_mm256_setzero_si256(), row), others);
    v = _mm256_or_si256(v, _mm256_shuffle_epi8(t.v[r], _mm256_or_si256(nibbles.v, mask)));
  }
  return {v};
}

inline __m256i broadcastWord(const int8_t* x) {
  int32_t word;
  std::memcpy(&word, x, sizeof word);
  return _mm256_set1_epi32(word);
}

constexpr int kSideBySide = 1;

/// out[t] = start + the sum of code * x over columns [16 * half, 16 * half + 4 * kCount) of the group, for kTokens
/// records; exact. `codes` are the group's vectors from column 16 * half on.
template <int kMaxCode, int kCount, int kTokens>
PW_INLINE void dots(const Bytes* codes, const Activations* x, int half, Ints* out) {
  const __m256i ones = _mm256_set1_epi16(1);
  constexpr int kPairs = pairsIn16Bits(kMaxCode, kCount);
  PW_UNROLL for (int t = 0; t < kTokens; ++t) {
    const int8_t* columns = x[t].codes + 16 * half;
    __m256i sum = _mm256_set1_epi32(x[t].start[half]);
    if constexpr (kPairs > 0) {
      PW_UNROLL for (int i = 0; i < kCount; i += kPairs) {
        __m256i pairs = _mm256_maddubs_epi16(codes[i].v, broadcastWord(columns + 4 * i));
        PW_UNROLL for (int j = 1; j < kPairs; ++j) pairs =
            _mm256_add_epi16(pairs, _mm256_maddubs_epi16(codes[i + j].v, broadcastWord(columns + 4 * (i + j))));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
      }
    } else {
      const __m256i low = _mm256_set1_epi16(0xff);
      PW_UNROLL for (int i = 0; i < kCount; ++i) {
        const __m256i b = broadcastWord(columns + 4 * i);
        const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8), odd = _mm256_srai_epi16(b, 8);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_and_si256(codes[i].v, low), even));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_srli_epi16(codes[i].v, 8), odd));
      }
    }
    out[t].v = sum;
  }
}

inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

inline Vec toVec(Ints a) { return _mm256_cvtepi32_ps(a.v); }
inline Vec loadU8(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
/// 2^(e - 127) for bytes e; see exponentScale().
inline Vec loadExponents(const uint8_t* p) {
  const __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_slli_epi32(e, 23), _mm256_set1_epi32(0x00400000)));
}
/// 8-bit floats of type E4M3; see fromE4m3().
inline Vec loadE4m3(const uint8_t* p) {
  const __m256i bits = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7f));
  const __m256 value = _mm256_mul_ps(_mm256_castsi256_ps(_mm256_slli_epi32(magnitude, 20)), _mm256_set1_ps(0x1p120f));
  const __m256i nan = _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7f)),
                sign = _mm256_and_si256(bits, _mm256_set1_epi32(static_cast<int>(0x80000000u)));
  return _mm256_or_ps(value, _mm256_castsi256_ps(_mm256_or_si256(nan, sign)));
}
inline Vec loadI8(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
