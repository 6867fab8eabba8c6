// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/linear/activations.h"
#include "cpu/simd/unroll.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

/// Tokens of the widest tile, and the most in a tile of what is left over.
constexpr int kWideTile = 16, kNarrowTile = 8;

/// One vector of codes: 16 rows x 4 columns, unsigned bytes.
struct Bytes {
  __m512i v;
};
/// One i32 a row.
struct Ints {
  __m512i v;
};

inline Bytes loadBytes(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline Bytes lowNibbles(Bytes b) { return {_mm512_and_si512(b.v, _mm512_set1_epi8(15))}; }
inline Bytes highNibbles(Bytes b) { return {_mm512_and_si512(_mm512_srli_epi16(b.v, 4), _mm512_set1_epi8(15))}; }

/// low | (field `i` of `pairs`) << 4.
template <int i>
inline Bytes withHighPair(Bytes low, Bytes pairs) {
  const __m512i shifted =
      i < 2 ? _mm512_slli_epi16(pairs.v, i < 2 ? 4 - 2 * i : 0) : _mm512_srli_epi16(pairs.v, i < 2 ? 0 : 2 * i - 4);
  return {_mm512_ternarylogic_epi32(shifted, _mm512_set1_epi8(0x30), low.v, 0xea)};  // (a & b) | c
}

/// low | (bit `i` of `bits`) << 4.
template <int i>
inline Bytes withHighBit(Bytes low, Bytes bits) {
  const __m512i shifted =
      i < 4 ? _mm512_slli_epi16(bits.v, i < 4 ? 4 - i : 0) : _mm512_srli_epi16(bits.v, i < 4 ? 0 : i - 4);
  return {_mm512_ternarylogic_epi32(shifted, _mm512_set1_epi8(0x10), low.v, 0xea)};  // (a & b) | c
}

/// 16 bytes, by which nibbles are replaced.
struct OneTable {
  __m512i v;
};
inline OneTable loadTable(const uint8_t* p) {
  return {_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline Bytes lookUp(Bytes nibbles, OneTable table) { return {_mm512_shuffle_epi8(table.v, nibbles.v)}; }

/// A table for each of 16 rows. A shuffle takes one table per 128-bit lane, which has four rows: v[r] holds those of
/// the lanes' r-th rows.
struct RowTables {
  __m512i v[4];
};
inline RowTables loadRowTables(const uint8_t* p) {
  const auto table = [p](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * row)); };
  RowTables t;
  PW_UNROLL for (int r = 0; r < 4; ++r) {
    const __m256i low = _mm256_setr_m128i(table(r), table(r + 4)),
                  high = _mm256_setr_m128i(table(r + 8), table(r + 12));
    t.v[r] = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
  return t;
}
inline Bytes lookUp(Bytes nibbles, const RowTables& t) {
  __m512i v = _mm512_shuffle_epi8(t.v[0], nibbles.v);
  v = _mm512_mask_shuffle_epi8(v, 0x00f000f000f000f0u, t.v[1], nibbles.v);
  v = _mm512_mask_shuffle_epi8(v, 0x0f000f000f000f00u, t.v[2], nibbles.v);
  return {_mm512_mask_shuffle_epi8(v, 0xf000f000f000f000u, t.v[3], nibbles.v)};
}

inline __m512i broadcastWord(const int8_t* x) {
  int32_t word;
  std::memcpy(&word, x, sizeof word);
  return _mm512_set1_epi32(word);
}

#if defined(PW_USE_VNNI)

/// sum + code * x over four columns. gcc has no pattern for the form with a broadcast memory operand, which halves the
/// instructions of the inner loop.
inline __m512i addProducts(__m512i sum, __m512i codes, const int8_t* x) {
#if defined(__GNUC__)
  struct Word {
    int8_t bytes[4];
  };
  __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*reinterpret_cast<const Word*>(x)));
  return sum;
#else
  return _mm512_dpbusd_epi32(sum, codes, broadcastWord(x));
#endif
}

/// Tokens whose sums advance side by side: enough to cover the instruction's latency of five cycles.
constexpr int kSideBySide = 4;

/// out[t] = start + the sum of code * x over columns [16 * half, 16 * half + 4 * kCount) of the group, for kTokens
/// records; exact. `codes` are the group's vectors from column 16 * half on.
template <int kMaxCode, int kCount, int kTokens>
PW_INLINE void dots(const Bytes* codes, const Activations* x, int half, Ints* out) {
  PW_UNROLL for (int t = 0; t < kTokens; ++t) out[t].v = _mm512_set1_epi32(x[t].start[half]);
  PW_UNROLL for (int i = 0; i < kCount; ++i) {
    PW_UNROLL for (int t = 0; t < kTokens; ++t) out[t].v =
        addProducts(out[t].v, codes[i].v, x[t].codes + 16 * half + 4 * i);
  }
}

#else

constexpr int kSideBySide = 1;

/// out[t] = start + the sum of code * x over columns [16 * half, 16 * half + 4 * kCount) of the group, for kTokens
/// records; exact. `codes` are the group's vectors from column 16 * half on.
template <int kMaxCode, int kCount, int kTokens>
PW_INLINE void dots(const Bytes* codes, const Activations* x, int half, Ints* out) {
  const __m512i ones = _mm512_set1_epi16(1);
  constexpr int kPairs = pairsIn16Bits(kMaxCode, kCount);
  PW_UNROLL for (int t = 0; t < kTokens; ++t) {
    const int8_t* columns = x[t].codes + 16 * half;
    __m512i sum = _mm512_set1_epi32(x[t].start[half]);
    if constexpr (kPairs > 0) {
      PW_UNROLL for (int i = 0; i < kCount; i += kPairs) {
        __m512i pairs = _mm512_maddubs_epi16(codes[i].v, broadcastWord(columns + 4 * i));
        PW_UNROLL for (int j = 1; j < kPairs; ++j) pairs =
            _mm512_add_epi16(pairs, _mm512_maddubs_epi16(codes[i + j].v, broadcastWord(columns + 4 * (i + j))));
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, ones));
      }
    } else {
      const __m512i low = _mm512_set1_epi16(0xff);
      PW_UNROLL for (int i = 0; i < kCount; ++i) {
        const __m512i b = broadcastWord(columns + 4 * i);
        const __m512i even = _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8), odd = _mm512_srai_epi16(b, 8);
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_and_si512(codes[i].v, low), even));
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_srli_epi16(codes[i].v, 8), odd));
      }
    }
    out[t].v = sum;
  }
}

#endif

inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

inline Vec toVec(Ints a) { return _mm512_cvtepi32_ps(a.v); }
inline Vec loadU8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
/// 2^(e - 127) for bytes e; see exponentScale().
inline Vec loadExponents(const uint8_t* p) {
  const __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_slli_epi32(e, 23), _mm512_set1_epi32(0x00400000)));
}
/// 8-bit floats of type E4M3; see fromE4m3().
inline Vec loadE4m3(const uint8_t* p) {
  const __m512i bits = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7f));
  const __m512i value = _mm512_castps_si512(
      _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(magnitude, 20)), _mm512_set1_ps(0x1p120f)));
  const __m512i nan = _mm512_maskz_set1_epi32(_mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7f)), -1);
  const __m512i sign = _mm512_and_si512(bits, _mm512_set1_epi32(static_cast<int>(0x80000000u)));
  return _mm512_castsi512_ps(_mm512_or_si512(value, _mm512_or_si512(nan, sign)));
}
inline Vec loadI8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
