// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <immintrin.h>

namespace pw::cpu::avx2 {

struct Vec {
  static constexpr int kLanes = 8;
  /// Elements of 16 and 8 bits become f32 in an instruction or two.
  static constexpr bool kWidens = true;
  __m256 v;
  Vec() = default;
  Vec(__m256 x) : v(x) {}
  explicit Vec(float x) : v(_mm256_set1_ps(x)) {}
};

using Mask = __m256;

static inline Vec loadF32(const float* p) { return _mm256_loadu_ps(p); }
static inline Vec loadF16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
static inline Vec loadBF16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
static inline Vec loadI8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
/// Codes of a KV cache: see kv_codes.h. f16 has all of E4M3, its subnormals included, with exponents 8 less.
static inline Vec loadE4M3(const uint8_t* p) {
  const __m128i codes = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m128i magnitude = _mm_slli_epi16(_mm_and_si128(codes, _mm_set1_epi16(0x7f)), 7);
  const __m128i sign = _mm_slli_epi16(_mm_and_si128(codes, _mm_set1_epi16(0x80)), 8);
  return _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(magnitude, sign)), _mm256_set1_ps(256.0f));
}
static inline Vec loadI4(const uint8_t* p) {
  int32_t codes;
  std::memcpy(&codes, p, sizeof codes);
  const __m256i shifted = _mm256_sllv_epi32(_mm256_set1_epi32(codes), _mm256_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0));
  return _mm256_cvtepi32_ps(_mm256_srai_epi32(shifted, 28));
}
/// Stores lanes, which are integers in [-127, 127], as bytes.
static inline void storeI8(int8_t* p, Vec a) {
  const __m256i words = _mm256_cvtps_epi32(a.v);
  const __m128i shorts = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(shorts, shorts));
}
static inline void storeF32(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
/// Past the caches; `p` is aligned to the vector. fenceStreams() makes it visible to other threads.
static inline void streamF32(float* p, Vec a) { _mm256_stream_ps(p, a.v); }
static inline void fenceStreams() { _mm_sfence(); }
static inline void storeF16(uint16_t* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
static inline void storeBF16(uint16_t* p, Vec a) {
  const __m256i u = _mm256_castps_si256(a.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  const __m256i words = _mm256_blendv_epi8(rounded, quiet, nan);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
static inline Vec operator+(Vec a, Vec b) { return _mm256_add_ps(a.v, b.v); }
static inline Vec operator-(Vec a, Vec b) { return _mm256_sub_ps(a.v, b.v); }
static inline Vec operator*(Vec a, Vec b) { return _mm256_mul_ps(a.v, b.v); }
static inline Vec operator/(Vec a, Vec b) { return _mm256_div_ps(a.v, b.v); }
static inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
static inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a.v, b.v); }
static inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a.v, b.v); }
static inline Vec round(Vec a) { return _mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/// a * 2^n for an integral n in [-126, 128]; two steps, so that the extremes neither overflow nor flush early.
static inline Vec scaleByPowerOfTwo(Vec a, Vec n) {
  const __m256i e = _mm256_cvtps_epi32(n.v), half = _mm256_srai_epi32(e, 1), bias = _mm256_set1_epi32(127);
  const __m256 low = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  const __m256 high = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(e, half), bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(a.v, low), high);
}
static inline Mask lessThan(Vec a, Vec b) { return _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ); }
static inline Mask equal(Vec a, Vec b) { return _mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ); }
static inline bool anyLane(Mask m) { return _mm256_movemask_ps(m) != 0; }
static inline Mask isNaN(Vec a) { return _mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q); }
static inline Vec select(Mask m, Vec a, Vec b) { return _mm256_blendv_ps(b.v, a.v, m); }
static inline float reduceAdd(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
static inline float reduceMax(Vec a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}
/// Lane i of the result is the sum of a[i]'s lanes.
static inline Vec sumEach(const Vec (&a)[8]) {
  const __m256 ab = _mm256_hadd_ps(a[0].v, a[1].v), cd = _mm256_hadd_ps(a[2].v, a[3].v);
  const __m256 ef = _mm256_hadd_ps(a[4].v, a[5].v), gh = _mm256_hadd_ps(a[6].v, a[7].v);
  const __m256 low = _mm256_hadd_ps(ab, cd), high = _mm256_hadd_ps(ef, gh);
  return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}

}  // namespace pw::cpu::avx2
