// SPDX-License-Identifier: Apache-2.0
/// @file Linear layers over packed weights: int8 activations, exact integer sums per group, f32 over groups.
///
/// Roofline of 4-bit weights with one scale per 32 (W4), one strip of 16 rows x 32 columns and T tokens, AVX-512 VNNI:
/// reads 288 bytes; 12 instructions unpack the nibbles, then each token costs 8 vpdpbusd (whose signed operand is a
/// broadcast from memory) and 3 on floats (convert, scale product, multiply-add). T = 1: 25 instructions on two ports
/// for 288 bytes, some 22 bytes a cycle, several times what memory delivers to a core; T = 8: 102 for the same
/// bytes, 5.6 bytes a cycle, near what memory delivers; T = 16: 190, of which 128 are vpdpbusd: two thirds of the
/// integer peak at best.
///
/// Every output element is summed over the groups in ascending order by the same instructions whatever T is, so a row's
/// result does not depend on the batch around it.
#pragma once
#include <type_traits>

#include "cpu/context.h"
#include "cpu/linear/activations.inl"
#include "cpu/linear/epilogue.inl"
#include "cpu/linear/formats.inl"
#include "cpu/simd/unroll.h"
#include "plan/linear.h"

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

/// How far ahead of the multiplication weights are asked for. Hardware prefetch stops at page borders and reordering
/// sees only a group or two ahead when many tokens share it; this distance covers the latency of memory at full
/// bandwidth.
constexpr int kPrefetchBytes = 4096;

/// What a group's integer sums are multiplied by, for kLanes rows.
template <class F>
struct GroupScales {
  Vec scale;   ///< of the group, or of its columns 0 to 15
  Vec second;  ///< the minimum, or the scale of columns 16 to 31; unused for formats that have neither
};

template <class F>
PW_INLINE GroupScales<F> groupScales(const uint8_t* block, int group, int row) {
  if constexpr (F::kHalfGroups) return {F::scale(block, 2 * group, row), F::scale(block, 2 * group + 1, row)};
  if constexpr (F::kHasMin) return {F::scale(block, group, row), F::minimum(block, group, row)};
  return {F::scale(block, group, row), Vec(0.0f)};
}

/// Adds one group's products to the sums of N tokens.
template <class F, int N>
PW_INLINE void addGroup(const GroupScales<F>& scales, const Codes& codes, const Activations* x, Vec* sum) {
  Ints products[N];
  if constexpr (F::kHalfGroups) {
    Ints high[N];
    dots<F::kMaxCode, 4, N>(codes.v, x, 0, products);
    dots<F::kMaxCode, 4, N>(codes.v + 4, x, 1, high);
    PW_UNROLL for (int t = 0; t < N; ++t) sum[t] =
        fma(fma(toVec(high[t]), scales.second, toVec(products[t]) * scales.scale), Vec(x[t].scale), sum[t]);
  } else {
    dots<F::kMaxCode, 8, N>(codes.v, x, 0, products);
    PW_UNROLL for (int t = 0; t < N; ++t) sum[t] = fma(toVec(products[t]), scales.scale * Vec(x[t].scale), sum[t]);
    if constexpr (F::kHasMin)
      PW_UNROLL for (int t = 0; t < N; ++t) sum[t] = fma(scales.second, Vec(x[t].scaledSum), sum[t]);
  }
}

/// Adds a block's products to the sums of kLanes rows, from `row` on, and T tokens.
template <class F, int T>
PW_INLINE void addBlock(const uint8_t* block, const Activations* x, int row, const typename F::Levels& levels,
                        Vec* sum) {
  constexpr int kSide = kSideBySide < T ? kSideBySide : T, kRest = T % kSide;
  for (int g = 0; g < F::kLayout.groupsPerBlock; ++g, x += T) {
    Codes codes;
    F::codes(block + groupOffset(F::kLayout, g), row, levels, &codes);
    const GroupScales<F> scales = groupScales<F>(block, g, row);
    PW_UNROLL for (int t = 0; t + kSide <= T; t += kSide) addGroup<F, kSide>(scales, codes, x + t, sum + t);
    if constexpr (kRest > 0) addGroup<F, kRest>(scales, codes, x + T - kRest, sum + T - kRest);
  }
}

/// Registers that the rows of a strip take.
constexpr int kParts = kStripRows / Vec::kLanes;

/// sums[t * kStripRows + r] for the rows of a strip and T tokens. Where a strip takes several registers, they take
/// turns within each block, so that memory is read at an even pace.
template <class F, int T>
void multiplyTile(const uint8_t* strip, int64_t blocks, const Activations* x, const typename F::Levels* levels,
                  float* sums) {
  Vec sum[kParts][T];
  PW_UNROLL for (int p = 0; p < kParts; ++p) { PW_UNROLL for (int t = 0; t < T; ++t) sum[p][t] = Vec(0.0f); }
  for (int64_t b = 0; b < blocks; ++b, strip += F::kLayout.blockBytes(), x += T * F::kLayout.groupsPerBlock) {
    for (int line = 0; line < F::kLayout.blockBytes(); line += 64) prefetch(strip + kPrefetchBytes + line);
    PW_UNROLL for (int p = 0; p < kParts; ++p) addBlock<F, T>(strip, x, p * Vec::kLanes, levels[p], sum[p]);
  }
  PW_UNROLL for (int p = 0; p < kParts; ++p) {
    PW_UNROLL for (int t = 0; t < T; ++t) {
      if constexpr (!std::is_same_v<typename F::Levels, NoLevels>) sum[p][t] = sum[p][t] * levels[p].unit;
      storeF32(sums + t * kStripRows + p * Vec::kLanes, sum[p][t]);
    }
  }
}

/// multiplyTile<F, tokens> for a number of tokens up to T.
template <class F, int T>
void multiplyNarrow(const uint8_t* strip, int64_t blocks, const Activations* x, int tokens,
                    const typename F::Levels* levels, float* sums) {
  if constexpr (T > 1) {
    if (tokens < T) return multiplyNarrow<F, T - 1>(strip, blocks, x, tokens, levels, sums);
  }
  multiplyTile<F, T>(strip, blocks, x, levels, sums);
}

template <class F>
void multiplyStrip(const pw_matrix& weight, int64_t strip, int64_t blocks, const Activations* x, int tokens,
                   float* sums) {
  const uint8_t* data = static_cast<const uint8_t*>(weight.data) + strip * blocks * F::kLayout.blockBytes();
  typename F::Levels levels[kParts];
  for (int p = 0; p < kParts; ++p) levels[p] = F::Levels::at(weight, strip, p * Vec::kLanes);
  if (tokens == kWideTile)
    multiplyTile<F, kWideTile>(data, blocks, x, levels, sums);
  else
    multiplyNarrow<F, kNarrowTile>(data, blocks, x, tokens, levels, sums);
}

template <class F>
void linearOver(const pw_linear_args& a, Context& context) {
  const int64_t tokens = rowCount(a.x), k = a.weight.k;
  const int64_t blocks = blockCount(F::kLayout, k), groups = blocks * F::kLayout.groupsPerBlock;
  const int64_t bytesPerStrip = stripBytes(F::kLayout, k),
                tokenBytes = groups * static_cast<int64_t>(sizeof(Activations));
  auto* activations = static_cast<Activations*>(context.shared(static_cast<size_t>(tokens * tokenBytes)));

  const int32_t* order = a.weight.order;
  context.pool().forRange(tokens, 1 + 16384 / k, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t token = begin; token < end; ++token) {
      const TokenTile tile = tileOf(token, tokens);
      Activations* to = activations + tile.first * groups + (token - tile.first);
      dispatchFloat(a.x.dtype, [&](auto* tag) {
        auto* row = static_cast<decltype(tag)>(rowPointer(a.x, token));
        if (order) {
          auto* ordered = static_cast<decltype(tag)>(context.scratch(worker, static_cast<size_t>(k) * sizeof *row));
          for (int64_t i = 0; i < k; ++i) ordered[i] = row[order[i]];
          row = ordered;
        }
        quantizeRow(row, k, groups, F::kOffset, F::kHalfGroups, to, tile.tokens);
      });
    }
  });

  const int64_t strips = stripCount(a.weight.n);
  const plan::LinearPlan plan =
      plan::planLinear(tokens, kWideTile, strips, bytesPerStrip, tokenBytes, context.pool().size());
  context.pool().run(plan.tasks(), [&](int64_t task, int) {
    const int64_t firstToken = task / plan.stripTasks * plan.tokensPerBlock;
    const int64_t firstStrip = task % plan.stripTasks * plan.stripsPerTask;
    const int64_t endToken = firstToken + plan.tokensPerBlock < tokens ? firstToken + plan.tokensPerBlock : tokens;
    const int64_t endStrip = firstStrip + plan.stripsPerTask < strips ? firstStrip + plan.stripsPerTask : strips;
    alignas(64) float sums[kWideTile * kStripRows];
    for (int64_t s = firstStrip; s < endStrip; ++s) {
      for (int64_t token = firstToken; token < endToken;) {
        const TokenTile tile = tileOf(token, tokens);
        multiplyStrip<F>(a.weight, s, blocks, activations + tile.first * groups, tile.tokens, sums);
        writeTile(a, sums, tile.first, tile.tokens, s * kStripRows);
        token += tile.tokens;
      }
    }
  });
}

void linearPacked(const pw_linear_args& a, Context& context) {
  switch (a.weight.format) {
    case PW_MATRIX_W4M:
      return linearOver<W4M>(a, context);
    case PW_MATRIX_W4K:
      return linearOver<W4K>(a, context);
    case PW_MATRIX_W8:
      return linearOver<W8>(a, context);
    case PW_MATRIX_W6K:
      return linearOver<W6K>(a, context);
    case PW_MATRIX_W5:
      return linearOver<W5>(a, context);
    case PW_MATRIX_W5M:
      return linearOver<W5M>(a, context);
    case PW_MATRIX_W5K:
      return linearOver<W5K>(a, context);
    case PW_MATRIX_W4Z:
      return linearOver<W4Z>(a, context);
    case PW_MATRIX_W4T:
      return a.weight.level_tables == 1 ? linearOver<W4T<OneTable>>(a, context)
                                        : linearOver<W4T<RowTables>>(a, context);
    case PW_MATRIX_W4X:
      return linearOver<W4X>(a, context);
    case PW_MATRIX_W4N:
      return linearOver<W4N>(a, context);
    default:
      return linearOver<W4>(a, context);
  }
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
