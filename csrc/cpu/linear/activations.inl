// SPDX-License-Identifier: Apache-2.0
/// @file Rounding activations to int8, 32 columns at a time.
#pragma once
#include "cpu/linear/activations.h"
#include "cpu/rows.h"

namespace pw::cpu::PW_ISA {
namespace {

constexpr int kVecs = kGroup / Vec::kLanes;

/// A group that is not all finite becomes one that float arithmetic treats as it would the original: any NaN gives a
/// NaN scale; else infinities become +-1 at an infinite scale and what is finite beside them 0.
inline void setNonFinite(const float* x, Activations* out, int* sums) {
  bool nan = false;
  sums[0] = sums[1] = 0;
  for (int i = 0; i < kGroup; ++i) {
    nan = nan || x[i] != x[i];
    const int8_t code = x[i] > 3.4028235e38f ? 1 : x[i] < -3.4028235e38f ? -1 : 0;
    out->codes[i] = code;
    sums[i / 16] += code;
  }
  out->scale = nan ? bitsFloat(0x7fc00000u) : bitsFloat(0x7f800000u);
}

inline void quantizeGroup(const Vec* v, int offset, bool halves, Activations* out) {
  Vec largest(0.0f), probe(0.0f);
  for (int i = 0; i < kVecs; ++i) {
    largest = max(largest, max(v[i], Vec(0.0f) - v[i]));
    probe = fma(v[i], Vec(0.0f), probe);  // NaN where v is NaN or infinite
  }
  const float magnitude = reduceMax(largest);
  int sums[2];
  if (reduceAdd(probe) != 0.0f) {
    float x[kGroup];
    for (int i = 0; i < kVecs; ++i) storeF32(x + i * Vec::kLanes, v[i]);
    setNonFinite(x, out, sums);
  } else {
    // Below 2^-100 the reciprocal could overflow; such a group is zero to any weight that a model holds.
    const bool zero = magnitude < 0x1p-100f;
    const Vec inverse(zero ? 0.0f : 127.0f / magnitude);
    out->scale = zero ? 0.0f : magnitude / 127.0f;
    for (int half = 0; half < 2; ++half) {
      Vec sum(0.0f);
      for (int i = half * kVecs / 2; i < (half + 1) * kVecs / 2; ++i) {
        const Vec code = round(v[i] * inverse);
        storeI8(out->codes + i * Vec::kLanes, code);
        sum = sum + code;
      }
      sums[half] = static_cast<int>(reduceAdd(sum));
    }
  }
  const int total = sums[0] + sums[1];
  out->scaledSum = out->scale * static_cast<float>(total);
  out->start[0] = -offset * (halves ? sums[0] : total);
  out->start[1] = -offset * sums[1];
}

/// Quantises a row of k columns into records `stride` apart; groups from k to `groups` become zeros.
template <class T>
inline void quantizeRow(const T* x, int64_t k, int64_t groups, int offset, bool halves, Activations* out,
                        int64_t stride) {
  for (int64_t g = 0; g < k / kGroup; ++g) {
    Vec v[kVecs];
    for (int i = 0; i < kVecs; ++i) v[i] = load(x + g * kGroup + i * Vec::kLanes);
    quantizeGroup(v, offset, halves, out + g * stride);
  }
  for (int64_t g = k / kGroup; g < groups; ++g) out[g * stride] = Activations{};
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
