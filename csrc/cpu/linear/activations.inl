// SPDX-License-Identifier: Apache-2.0
/// @file Activations as records of 32 columns: rounded to int8 here, or before.
#pragma once
#include "cpu/linear/activations.h"
#include "cpu/rows.h"
#include "cpu/simd/round_int8.h"
#include "pagewarp/linear.h"

namespace pw::cpu::PW_ISA {
namespace {

/// All of a record but its codes.
inline void setGroup(const Int8Group& group, int offset, bool halves, Activations* out) {
  const int total = group.sums[0] + group.sums[1];
  out->scale = group.scale;
  out->scaledSum = group.scale * static_cast<float>(total);
  out->start[0] = -offset * (halves ? group.sums[0] : total);
  out->start[1] = -offset * group.sums[1];
}

/// Quantises a row of k columns into records `stride` apart.
template <class T>
inline void quantizeRow(const T* x, int64_t k, int offset, bool halves, Activations* out, int64_t stride) {
  for (int64_t g = 0; g < k / kGroup; ++g, out += stride) {
    Vec v[kGroupVecs];
    for (int i = 0; i < kGroupVecs; ++i) v[i] = load(x + g * kGroup + i * Vec::kLanes);
    setGroup(roundGroup(v, out->codes), offset, halves, out);
  }
}

/// Records of row `token` of an x that has been rounded before.
inline void takeRow(const pw_linear_args& a, int64_t token, int64_t k, int offset, bool halves, Activations* out,
                    int64_t stride) {
  const auto* codes = static_cast<const int8_t*>(a.x.data) + token * k;
  const auto* scales = static_cast<const float*>(a.x_scales.data) + token * (k / kGroup);
  const auto* sums = static_cast<const int32_t*>(a.x_sums.data) + token * (k / kGroup) * 2;
  for (int64_t g = 0; g < k / kGroup; ++g, out += stride) {
    std::memcpy(out->codes, codes + g * kGroup, kGroup);
    setGroup({scales[g], {sums[2 * g], sums[2 * g + 1]}}, offset, halves, out);
  }
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
