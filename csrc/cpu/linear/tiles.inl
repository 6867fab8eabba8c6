// SPDX-License-Identifier: Apache-2.0
/// @file A strip of packed weights times a tile of tokens.
///
/// Roofline of 4-bit weights with one scale per 32 (W4), one strip of 16 rows x 32 columns and T tokens, AVX-512 VNNI:
/// reads 288 bytes; 12 instructions unpack the nibbles, then each token costs 8 vpdpbusd (whose signed operand is a
/// broadcast from memory) and 3 on floats (convert, scale product, multiply-add). T = 1: 25 instructions on two ports
/// for 288 bytes, some 22 bytes a cycle, several times what memory delivers to a core; T = 8: 102 for the same
/// bytes, 5.6 bytes a cycle, near what memory delivers; T = 16: 190, of which 128 are vpdpbusd: two thirds of the
/// integer peak at best.
///
/// AVX2, 8 of these rows: 144 bytes; 13 instructions unpack nibbles and scales, then each token costs 8 vpmaddubsw, 7
/// additions in 16 bits, a vpmaddwd, an addition and 3 on floats, 20 on three ports. T = 1: 11 cycles, 13 bytes a
/// cycle; T = 4: 31, 4.6 bytes a cycle; T = 8: 58, 2.5 bytes a cycle. 32 products an instruction, and a sum of its own
/// for each, are all that AVX2 has: 4 tokens take 1.35 times as long as one only where memory delivers a core less
/// than 6.3 bytes a cycle, and 8 twice as long where it delivers less than 5.
///
/// Every output element is summed over the groups in ascending order by the same instructions whatever T is, so a row's
/// result does not depend on the batch around it.
#pragma once
#include <type_traits>

#include "cpu/context.h"
#include "cpu/linear/activations.inl"
#include "cpu/linear/epilogue.inl"
#include "cpu/linear/formats.inl"
#include "cpu/linear/weight_stream.inl"
#include "cpu/simd/unroll.h"

namespace pw::cpu::PW_ISA {
namespace {

/// Tokens up to which memory is the limit, and weights are asked for in the order of a WeightStream. It is not worth
/// its registers and instructions where these are the limit: with more tokens, or without wide vectors.
constexpr int kStreamedTokens = Vec::kLanes == 16 ? 4 : 1;

/// How far ahead of the multiplication weights are asked for elsewhere. Hardware prefetch stops at page borders and
/// reordering sees only a group or two ahead when many tokens share it; this distance covers the latency of memory.
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

/// The sums of kLanes rows and one token, with a group's integer sums added: over its 32 columns in `low`, or, for
/// formats whose halves have scales, over each half.
template <class F>
PW_INLINE Vec addScaled(const GroupScales<F>& scales, Ints low, Ints high, const Activations& x, Vec sum) {
  if constexpr (F::kHalfGroups)
    return fma(fma(toVec(high), scales.second, toVec(low) * scales.scale), Vec(x.scale), sum);
  sum = fma(toVec(low), scales.scale * Vec(x.scale), sum);
  if constexpr (F::kHasMin) sum = fma(scales.second, Vec(x.scaledSum), sum);
  return sum;
}

/// Adds one group's products to the sums of N tokens.
template <class F, int N>
PW_INLINE void addGroup(const GroupScales<F>& scales, const Codes& codes, const Activations* x, Vec* sum) {
  Ints low[N];
  if constexpr (F::kHalfGroups) {
    Ints high[N];
    dots<F::kMaxCode, 4, N>(codes.v, x, 0, low);
    dots<F::kMaxCode, 4, N>(codes.v + 4, x, 1, high);
    PW_IN_REGISTERS for (int t = 0; t < N; ++t) sum[t] = addScaled(scales, low[t], high[t], x[t], sum[t]);
  } else {
    dots<F::kMaxCode, 8, N>(codes.v, x, 0, low);
    PW_IN_REGISTERS for (int t = 0; t < N; ++t) sum[t] = addScaled(scales, low[t], low[t], x[t], sum[t]);
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
    PW_IN_REGISTERS for (int t = 0; t + kSide <= T; t += kSide) addGroup<F, kSide>(scales, codes, x + t, sum + t);
    if constexpr (kRest > 0) addGroup<F, kRest>(scales, codes, x + T - kRest, sum + T - kRest);
  }
}

/// Registers that the rows of a strip take.
constexpr int kParts = kStripRows / Vec::kLanes;

/// sums[t * kStripRows + r] for the rows of a strip and T tokens. Where a strip takes several registers, they take
/// turns within each block, so that memory is read at an even pace.
template <class F, int T>
PW_NO_INLINE void multiplyTile(const uint8_t* strip, int64_t blocks, const Activations* x,
                               const typename F::Levels* levels, WeightStream& ahead, float* sums) {
  Vec sum[kParts][T];
  PW_IN_REGISTERS for (int p = 0; p < kParts; ++p) {
    PW_IN_REGISTERS for (int t = 0; t < T; ++t) sum[p][t] = Vec(0.0f);
  }
  for (int64_t b = 0; b < blocks; ++b, strip += F::kLayout.blockBytes(), x += T * F::kLayout.groupsPerBlock) {
    if constexpr (T <= kStreamedTokens)
      ahead.advance(strip + F::kLayout.blockBytes());
    else
      for (int line = 0; line < F::kLayout.blockBytes(); line += 64) prefetch(strip + kPrefetchBytes + line);
    PW_IN_REGISTERS for (int p = 0; p < kParts; ++p) addBlock<F, T>(strip, x, p * Vec::kLanes, levels[p], sum[p]);
  }
  PW_IN_REGISTERS for (int p = 0; p < kParts; ++p) {
    PW_IN_REGISTERS for (int t = 0; t < T; ++t) {
      if constexpr (!std::is_same_v<typename F::Levels, NoLevels>) sum[p][t] = sum[p][t] * levels[p].unit;
      storeF32(sums + t * kStripRows + p * Vec::kLanes, sum[p][t]);
    }
  }
}

/// multiplyTile<F, tokens> for a number of tokens up to T.
template <class F, int T>
void multiplyNarrow(const uint8_t* strip, int64_t blocks, const Activations* x, int tokens,
                    const typename F::Levels* levels, WeightStream& ahead, float* sums) {
  if constexpr (T > 1) {
    if (tokens < T) return multiplyNarrow<F, T - 1>(strip, blocks, x, tokens, levels, ahead, sums);
  }
  multiplyTile<F, T>(strip, blocks, x, levels, ahead, sums);
}

/// A block of a strip.
template <class F>
PW_INLINE const uint8_t* blockAt(const PackedOperands& o, int64_t strip, int64_t index) {
  return static_cast<const uint8_t*>(o.args.weight.data) + (strip * o.blocks + index) * F::kLayout.blockBytes();
}

/// The records of a group for the tokens of a tile, by the first of them.
PW_INLINE const Activations* recordsOf(const PackedOperands& o, const TokenTile& tile, int64_t group) {
  return o.activations + tile.first * o.groupsPerStrip + group * tile.tokens;
}

/// All strips and tokens of a task.
template <class F>
void multiplyTask(const PackedOperands& o, const PackedTask& task, Context&, int) {
  typename F::Levels levels[kParts];
  alignas(64) float sums[kWideTile * kStripRows];
  const bool streamed = task.endToken - task.firstToken <= kStreamedTokens;
  WeightStream ahead(blockAt<F>(o, task.firstStrip, 0), blockAt<F>(o, streamed ? task.endStrip : task.firstStrip, 0));
  for (int64_t strip = task.firstStrip; strip < task.endStrip; ++strip) {
    for (int p = 0; p < kParts; ++p) levels[p] = F::Levels::at(o.args.weight, strip, p * Vec::kLanes);
    const uint8_t* weights = blockAt<F>(o, strip, 0);
    for (int64_t token = task.firstToken; token < task.endToken;) {
      const TokenTile tile = tileOf(token, o.tokens);
      const Activations* x = recordsOf(o, tile, 0);
      if (tile.tokens == kWideTile)
        multiplyTile<F, kWideTile>(weights, o.blocks, x, levels, ahead, sums);
      else
        multiplyNarrow<F, kNarrowTile>(weights, o.blocks, x, tile.tokens, levels, ahead, sums);
      writeTile(o.args, sums, tile.first, tile.tokens, strip * kStripRows);
      token += tile.tokens;
    }
  }
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
