// SPDX-License-Identifier: Apache-2.0
/// @file Activations as records of 32 columns: rounded to int8 here, or before.
#pragma once
#include "cpu/context.h"
#include "cpu/linear/activations.h"
#include "cpu/rows.h"
#include "cpu/simd/round_int8.h"
#include "pagewarp/linear.h"

namespace pw::cpu::PW_ISA {
namespace {

/// The tile that `token` belongs to. Tiles are the unit in which activations are stored: the records of a group, one
/// for each of the tile's tokens, are contiguous, so that a kernel walks both its operands with one pointer each.
struct TokenTile {
  int64_t first;
  int tokens;
};

inline TokenTile tileOf(int64_t token, int64_t tokens) {
  const int64_t wide = tokens / kWideTile * kWideTile;
  if (token < wide) return {token / kWideTile * kWideTile, kWideTile};
  const int64_t first = wide + (token - wide) / kNarrowTile * kNarrowTile;
  return {first, static_cast<int>(tokens - first < kNarrowTile ? tokens - first : kNarrowTile)};
}

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

/// Records of all rows of x, `groups` a row; those past the end of the rows are zeros.
void recordActivations(const pw_linear_args& a, int64_t groups, int offset, bool halves, Activations* records,
                       Context& context) {
  const int64_t tokens = rowCount(a.x), k = a.weight.k;
  const int32_t* order = a.weight.order;
  context.pool().forRange(tokens, 1 + 16384 / k, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t token = begin; token < end; ++token) {
      const TokenTile tile = tileOf(token, tokens);
      Activations* to = records + tile.first * groups + (token - tile.first);
      for (int64_t g = k / kGroup; g < groups; ++g) to[g * tile.tokens] = Activations{};
      if (a.x.dtype == PW_I8) {
        takeRow(a, token, k, offset, halves, to, tile.tokens);
        continue;
      }
      dispatchFloat(a.x.dtype, [&](auto* tag) {
        auto* row = static_cast<decltype(tag)>(rowPointer(a.x, token));
        if (order) {
          auto* ordered = static_cast<decltype(tag)>(context.scratch(worker, static_cast<size_t>(k) * sizeof *row));
          for (int64_t i = 0; i < k; ++i) ordered[i] = row[order[i]];
          row = ordered;
        }
        quantizeRow(row, k, offset, halves, to, tile.tokens);
      });
    }
  });
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
