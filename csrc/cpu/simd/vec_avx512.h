// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <immintrin.h>

namespace pw::cpu::avx512 {

struct Vec {
  static constexpr int kLanes = 16;
  __m512 v;
  Vec() = default;
  Vec(__m512 x) : v(x) {}
  explicit Vec(float x) : v(_mm512_set1_ps(x)) {}
};

using Mask = __mmask16;

static inline Vec loadF32(const float* p) { return _mm512_loadu_ps(p); }
static inline Vec loadF16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
static inline Vec loadBF16(const uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
static inline Vec loadI8(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
static inline void storeF32(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
static inline void storeF16(uint16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
static inline void storeBF16(uint16_t* p, Vec a) {
  const __m512i u = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(0x40));
  const __m512i words = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), rounded, quiet);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(words));
}
static inline Vec operator+(Vec a, Vec b) { return _mm512_add_ps(a.v, b.v); }
static inline Vec operator-(Vec a, Vec b) { return _mm512_sub_ps(a.v, b.v); }
static inline Vec operator*(Vec a, Vec b) { return _mm512_mul_ps(a.v, b.v); }
static inline Vec operator/(Vec a, Vec b) { return _mm512_div_ps(a.v, b.v); }
static inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
static inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a.v, b.v); }
static inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a.v, b.v); }
static inline Vec round(Vec a) { return _mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline Vec scaleByPowerOfTwo(Vec a, Vec n) { return _mm512_scalef_ps(a.v, n.v); }
static inline Mask lessThan(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
static inline Mask equal(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
static inline bool anyLane(Mask m) { return m != 0; }
static inline Mask isNaN(Vec a) { return _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q); }
static inline Vec select(Mask m, Vec a, Vec b) { return _mm512_mask_blend_ps(m, b.v, a.v); }
static inline float reduceAdd(Vec a) { return _mm512_reduce_add_ps(a.v); }
static inline float reduceMax(Vec a) { return _mm512_reduce_max_ps(a.v); }
/// Lane i of the result is the sum of a[i]'s lanes.
static inline Vec sumEach(const Vec (&a)[16]) {
  __m512 half[8], quarter[4], pair[2];
  for (int i = 0; i < 8; ++i)
    half[i] =
        _mm512_add_ps(_mm512_shuffle_f32x4(a[i].v, a[i + 8].v, 0x44), _mm512_shuffle_f32x4(a[i].v, a[i + 8].v, 0xee));
  for (int i = 0; i < 4; ++i)
    quarter[i] = _mm512_add_ps(_mm512_shuffle_f32x4(half[i], half[i + 4], 0x88),
                               _mm512_shuffle_f32x4(half[i], half[i + 4], 0xdd));
  for (int i = 0; i < 2; ++i)
    pair[i] =
        _mm512_add_ps(_mm512_unpacklo_ps(quarter[i], quarter[i + 2]), _mm512_unpackhi_ps(quarter[i], quarter[i + 2]));
  const __m512 sums = _mm512_add_ps(_mm512_unpacklo_ps(pair[0], pair[1]), _mm512_unpackhi_ps(pair[0], pair[1]));
  return _mm512_shuffle_f32x4(sums, sums, 0xd8);
}

}  // namespace pw::cpu::avx512
