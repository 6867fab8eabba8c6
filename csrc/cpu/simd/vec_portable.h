// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>

#include "pagewarp/kv_codes.h"

namespace pw::cpu::portable {

/// Eight lanes in an array: compilers turn the loops into whatever the baseline offers (SSE2, NEON).
struct Vec {
  static constexpr int kLanes = 8;
  /// Elements of 16 and 8 bits become f32 one by one.
  static constexpr bool kWidens = false;
  float lane[kLanes];
  Vec() = default;
  explicit Vec(float x) {
    for (float& l : lane) l = x;
  }
};

/// One truth value a lane.
struct Mask {
  bool lane[Vec::kLanes];
};

#define PW_LANES for (int i = 0; i < Vec::kLanes; ++i)

static inline Vec loadF32(const float* p) {
  Vec v;
  PW_LANES v.lane[i] = p[i];
  return v;
}
static inline Vec loadF16(const uint16_t* p) {
  Vec v;
  PW_LANES v.lane[i] = toFloat(Half{p[i]});
  return v;
}
static inline Vec loadBF16(const uint16_t* p) {
  Vec v;
  PW_LANES v.lane[i] = toFloat(BFloat{p[i]});
  return v;
}
static inline Vec loadI8(const int8_t* p) {
  Vec v;
  PW_LANES v.lane[i] = static_cast<float>(p[i]);
  return v;
}
/// Codes of a KV cache: see kv_codes.h.
static inline Vec loadE4M3(const uint8_t* p) {
  Vec v;
  PW_LANES v.lane[i] = pw_kv_decode_e4m3(p[i]);
  return v;
}
static inline Vec loadI4(const uint8_t* p) {
  Vec v;
  PW_LANES v.lane[i] = pw_kv_decode(PW_KV_I4, p, i);
  return v;
}
/// Stores lanes, which are integers in [-127, 127], as bytes.
static inline void storeI8(int8_t* p, Vec a) { PW_LANES p[i] = static_cast<int8_t>(a.lane[i]); }
static inline void storeF32(float* p, Vec v) { PW_LANES p[i] = v.lane[i]; }
/// Other instruction sets write past the caches here.
static inline void streamF32(float* p, Vec v) { storeF32(p, v); }
static inline void fenceStreams() {}
static inline void storeF16(uint16_t* p, Vec v) {
  PW_LANES {
    Half h;
    fromFloat(v.lane[i], &h);
    p[i] = h.bits;
  }
}
static inline void storeBF16(uint16_t* p, Vec v) {
  PW_LANES {
    BFloat h;
    fromFloat(v.lane[i], &h);
    p[i] = h.bits;
  }
}
static inline Vec operator+(Vec a, Vec b) {
  PW_LANES a.lane[i] += b.lane[i];
  return a;
}
static inline Vec operator-(Vec a, Vec b) {
  PW_LANES a.lane[i] -= b.lane[i];
  return a;
}
static inline Vec operator*(Vec a, Vec b) {
  PW_LANES a.lane[i] *= b.lane[i];
  return a;
}
static inline Vec operator/(Vec a, Vec b) {
  PW_LANES a.lane[i] /= b.lane[i];
  return a;
}
/// a * b + c; two roundings here, one where there is FMA.
static inline Vec fma(Vec a, Vec b, Vec c) {
  PW_LANES c.lane[i] += a.lane[i] * b.lane[i];
  return c;
}
static inline Vec max(Vec a, Vec b) {
  PW_LANES a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
  return a;
}
static inline Vec min(Vec a, Vec b) {
  PW_LANES a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
  return a;
}
/// To the nearest integer, ties to even.
static inline Vec round(Vec a) {
  PW_LANES a.lane[i] = std::nearbyint(a.lane[i]);
  return a;
}
/// a * 2^n for an integral n in [-126, 128]; two steps, so that the extremes neither overflow nor flush early.
static inline Vec scaleByPowerOfTwo(Vec a, Vec n) {
  PW_LANES {
    // NaN has no integer; the caller replaces that lane.
    const int e = n.lane[i] > -200.0f && n.lane[i] < 200.0f ? static_cast<int>(n.lane[i]) : 0;
    const int half = e / 2;
    a.lane[i] = a.lane[i] * bitsFloat(static_cast<uint32_t>(half + 127) << 23) *
                bitsFloat(static_cast<uint32_t>(e - half + 127) << 23);
  }
  return a;
}
static inline Mask lessThan(Vec a, Vec b) {
  Mask m;
  PW_LANES m.lane[i] = a.lane[i] < b.lane[i];
  return m;
}
static inline Mask equal(Vec a, Vec b) {
  Mask m;
  PW_LANES m.lane[i] = a.lane[i] == b.lane[i];
  return m;
}
static inline bool anyLane(Mask m) {
  bool any = false;
  PW_LANES any |= m.lane[i];
  return any;
}
static inline Mask isNaN(Vec a) {
  Mask m;
  PW_LANES m.lane[i] = a.lane[i] != a.lane[i];
  return m;
}
/// m ? a : b, lane by lane.
static inline Vec select(Mask m, Vec a, Vec b) {
  PW_LANES a.lane[i] = m.lane[i] ? a.lane[i] : b.lane[i];
  return a;
}
static inline float reduceAdd(Vec a) {
  for (int half = Vec::kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) a.lane[i] += a.lane[i + half];
  return a.lane[0];
}
static inline float reduceMax(Vec a) {
  float m = a.lane[0];
  PW_LANES m = m > a.lane[i] ? m : a.lane[i];
  return m;
}
/// Lane i of the result is the sum of a[i]'s lanes.
static inline Vec sumEach(const Vec (&a)[Vec::kLanes]) {
  Vec v;
  PW_LANES v.lane[i] = reduceAdd(a[i]);
  return v;
}

#undef PW_LANES

}  // namespace pw::cpu::portable
