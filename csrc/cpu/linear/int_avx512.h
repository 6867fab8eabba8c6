// SPDX-License-Identifier: Apache-2.0
#pragma once
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
  const __m512i shifted = i < 2 ? _mm512_slli_epi16(pairs.v, i < 2 ? 4 - 2 * i : 0) : _mm512_srli_epi16(pairs.v, i < 2 ? 0 : 2 * i - 4);
  return {_mm512_ternarylogic_epi32(shifted, _mm512_set1_epi8(0x30), low.v, 0xea)};  // (a & b) | c
}

inline __m512i broadcastWord(const int8_t* x) {
  int32_t word;
  std::memcpy(&word, x, sizeof word);
  return _mm512_set1_epi32(word);
}

/// start + sum over `count` vectors and their 4 columns of code * x; exact.
template <int kMaxCode, int kCount>
inline Ints dot(const Bytes* codes, const int8_t* x, int32_t start) {
  __m512i sum = _mm512_set1_epi32(start);
#if defined(PW_USE_VNNI)
  for (int i = 0; i < kCount; ++i) sum = _mm512_dpbusd_epi32(sum, codes[i].v, broadcastWord(x + 4 * i));
#else
  const __m512i ones = _mm512_set1_epi16(1);
  // A product pair is at most 2 * kMaxCode * 127; as many of them are added in 16 bits as surely fit.
  constexpr int kPairs = 32767 / (2 * kMaxCode * 127) < kCount ? 32767 / (2 * kMaxCode * 127) : kCount;
  if constexpr (kPairs > 0) {
    for (int i = 0; i < kCount; i += kPairs) {
      __m512i pairs = _mm512_maddubs_epi16(codes[i].v, broadcastWord(x + 4 * i));
      for (int j = 1; j < kPairs; ++j)
        pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(codes[i + j].v, broadcastWord(x + 4 * (i + j))));
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, ones));
    }
  } else {
    const __m512i low = _mm512_set1_epi16(0xff);
    for (int i = 0; i < kCount; ++i) {
      const __m512i b = broadcastWord(x + 4 * i);
      const __m512i even = _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8), odd = _mm512_srai_epi16(b, 8);
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_and_si512(codes[i].v, low), even));
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_srli_epi16(codes[i].v, 8), odd));
    }
  }
#endif
  return {sum};
}

inline Vec toVec(Ints a) { return _mm512_cvtepi32_ps(a.v); }
inline Vec loadU8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline Vec loadI8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
/// Stores lanes, which are integers in [-127, 127], as bytes.
inline void storeI8(int8_t* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a.v)));
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
