// SPDX-License-Identifier: Apache-2.0
/// @file Rounding 32 columns of activations to int8: pagewarp/int8_rows.h over registers.
#pragma once
#include "cpu/simd/vec.h"
#include "pagewarp/int8_rows.h"
#include "pagewarp/matrix_layout.h"

namespace pw::cpu::PW_ISA {

/// Registers that a group takes.
static constexpr int kGroupVecs = kGroup / Vec::kLanes;

/// What belongs to the codes of a group.
struct Int8Group {
  float scale;
  int32_t sums[2];  ///< of the codes of each half
};

static inline Int8Group roundSpecial(const Vec* v, bool nan, int8_t* codes) {
  Int8Group group{bitsFloat(nan ? 0x7fc00000u : 0x7f800000u), {0, 0}};
  float x[kGroup];
  for (int i = 0; i < kGroupVecs; ++i) storeF32(x + i * Vec::kLanes, v[i]);
  for (int i = 0; i < kGroup; ++i) {
    codes[i] = static_cast<int8_t>(pw_int8_special_code(x[i], group.scale));
    group.sums[i / 16] += codes[i];
  }
  return group;
}

static inline Int8Group roundGroup(const Vec* v, int8_t* codes) {
  Vec largest(0.0f), probe(0.0f);
  for (int i = 0; i < kGroupVecs; ++i) {
    largest = max(largest, max(v[i], Vec(0.0f) - v[i]));
    probe = fma(v[i], Vec(0.0f), probe);  // NaN where v is NaN or infinite
  }
  if (reduceAdd(probe) != 0.0f) {
    bool nan = false;
    for (int i = 0; i < kGroupVecs; ++i) nan = nan || anyLane(isNaN(v[i]));
    return roundSpecial(v, nan, codes);
  }
  const float magnitude = reduceMax(largest);
  Int8Group group{pw_int8_scale(magnitude), {0, 0}};
  const Vec inverse(pw_int8_inverse(magnitude));
  for (int half = 0; half < 2; ++half) {
    Vec sum(0.0f);
    for (int i = half * kGroupVecs / 2; i < (half + 1) * kGroupVecs / 2; ++i) {
      const Vec code = round(v[i] * inverse);
      storeI8(codes + i * Vec::kLanes, code);
      sum = sum + code;
    }
    group.sums[half] = static_cast<int32_t>(reduceAdd(sum));
  }
  return group;
}

}  // namespace pw::cpu::PW_ISA
