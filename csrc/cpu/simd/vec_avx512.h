// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <immintrin.h>

namespace pw::cpu::avx512 {

struct Vec {
  static constexpr int kLanes = 16;
  /// Elements of 16 and 8 bits become f32 in an instruction or two.
  static constexpr bool kWidens = true;
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
/// Codes of a KV cache: see kv_codes.h. f16 has all of E4M3, its subnormals included, with exponents 8 less.
static inline Vec loadE4M3(const uint8_t* p) {
  const __m256i codes = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i magnitude = _mm256_slli_epi16(_mm256_and_si256(codes, _mm256_set1_epi16(0x7f)), 7);
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(codes, _mm256_set1_epi16(0x80)), 8);
  return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(magnitude, sign)), _mm512_set1_ps(256.0f));
}
static inline Vec loadI4(const uint8_t* p) {
  int32_t codes[2];
  std::memcpy(codes, p, sizeof codes);
  const __m512i both = _mm512_inserti64x4(_mm512_set1_epi32(codes[0]), _mm256_set1_epi32(codes[1]), 1);
  const __m512i left = _mm512_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0, 28, 24, 20, 16, 12, 8, 4, 0);
  return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_sllv_epi32(both, left), 28));
}
/// Stores lanes, which are integers in [-127, 127], as bytes.
static inline void storeI8(int8_t* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a.v)));
}
static inline void storeF32(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
/// Past the caches; `p` is aligned to the vector. fenceStreams() makes it visible to other threads.
static inline void streamF32(float* p, Vec a) { _mm512_stream_ps(p, a.v); }
static inline void fenceStreams() { _mm_sfence(); }
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
