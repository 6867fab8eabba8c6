// SPDX-License-Identifier: Apache-2.0
/// @file Wide tiles of tokens by AMX, with the bits that tiles.inl gives.
///
/// One instruction multiplies 16 tokens x 32 columns by 32 columns x 16 rows in 16 cycles, for which vpdpbusd takes 64.
/// But its result is in a tile register, from which only memory leads to the vector registers: storing a tile takes the
/// instruction decoder some 20 cycles, and while tiles are in use float multiplications and conversions keep to one of
/// their two ports, 48 cycles for the three of each output. Some 50 cycles for such a group, half of tiles.inl's 94.
///
/// Loop order: the codes of kStripsTogether strips and kChunkGroups groups are unpacked into the first-level cache,
/// then all tokens of the block go by, 16 at a time; their sums wait in the second-level cache for the next chunk of
/// groups.
///
/// Unpacked codes are signed, without their offset, so that tiles start at zero instead of Activations::start: the
/// integer sums are the same, and so is all that floats go through (addScaled).
#pragma once
#include "cpu/linear/linear.h"
#include "cpu/linear/tiles.inl"
#include "plan/linear.h"

namespace pw::cpu::PW_ISA {
namespace {

constexpr int kStripsTogether = 2;
constexpr int kChunkGroups = 8;  // whole blocks of every format
/// Cache lines of the next tile's activations per strip and two groups.
constexpr int kNextLines = 2 * kWideTile * sizeof(Activations) / 64 / kStripsTogether;

/// A group as the tile instructions take it.
struct alignas(64) UnpackedGroup {
  int8_t codes[kGroup * kStripRows];  ///< 8 vectors of 16 rows x 4 columns
  float scale[kStripRows];
  float second[kStripRows];  ///< as GroupScales::second
};

/// The shapes of the tile registers, for as long as it lives: a thread leaves no tile state behind, which would be
/// saved and restored at each switch to it. Registers 0 and 1 hold sums, 2 and 3 tokens, 4 and 5 weights.
class TileShapes {
 public:
  /// @param columns that a product covers: 32, or 16 where each half of a group has a scale
  explicit TileShapes(int columns) {
    alignas(64) Configuration c{};
    c.palette = 1;
    const auto shape = [&c](int tile, int rows, int bytes) {
      c.rows[tile] = static_cast<uint8_t>(rows);
      c.rowBytes[tile] = static_cast<uint16_t>(bytes);
    };
    for (int i = 0; i < 2; ++i) {
      shape(i, kWideTile, kStripRows * 4);
      shape(2 + i, kWideTile, columns);
      shape(4 + i, columns / 4, kVectorBytes);
    }
    _tile_loadconfig(&c);
  }
  ~TileShapes() { _tile_release(); }
  TileShapes(const TileShapes&) = delete;
  TileShapes& operator=(const TileShapes&) = delete;

 private:
  struct Configuration {
    uint8_t palette, startRow, reserved[14];
    uint16_t rowBytes[16];
    uint8_t rows[16];
  };
  static_assert(sizeof(Configuration) == 64, "the format of ldtilecfg");
};

// Numbers of tile registers are part of the instructions, and for gcc of their names.
#define PW_TILE_PRODUCTS(sums, tokens, weights)                   \
  _tile_zero(sums);                                               \
  _tile_loadd(tokens, x->codes + first, sizeof *x);               \
  _tile_loadd(weights, codes + kStripRows * first, kVectorBytes); \
  _tile_dpbssd(sums, tokens, weights);                            \
  _tile_stored(sums, products, kStripRows * sizeof *products)

/// products[t * kStripRows + r] = codes . x[t].codes over the columns from `first` on that TileShapes was given. Two
/// sets of registers let one product begin while the one before is stored.
template <int kSet>
PW_INLINE void tileProducts(const int8_t* codes, const Activations* x, int first, int32_t* products) {
  if constexpr (kSet == 0) {
    PW_TILE_PRODUCTS(0, 2, 4);
  } else {
    PW_TILE_PRODUCTS(1, 3, 5);
  }
}

#undef PW_TILE_PRODUCTS

constexpr int kTileOutputs = kWideTile * kStripRows;

/// The integer sums of a group: over its 32 columns, or over each half.
struct alignas(64) GroupProducts {
  int32_t low[kTileOutputs], high[kTileOutputs];
};

template <class F, int kSet>
PW_INLINE void multiplyGroup(const UnpackedGroup& group, const Activations* x, GroupProducts* products) {
  if constexpr (F::kHalfGroups) {
    tileProducts<0>(group.codes, x, 0, products->low);
    tileProducts<1>(group.codes, x, kGroup / 2, products->high);
  } else {
    tileProducts<kSet>(group.codes, x, 0, products->low);
  }
}

template <class F>
PW_INLINE void addTileProducts(const UnpackedGroup& group, const Activations* x, const GroupProducts& products,
                               Vec* sum) {
  const GroupScales<F> scales{loadF32(group.scale), loadF32(group.second)};
  PW_UNROLL for (int t = 0; t < kWideTile; ++t) {
    const auto at = [t](const int32_t* sums) { return Ints{_mm512_load_si512(sums + t * kStripRows)}; };
    sum[t] = addScaled(scales, at(products.low), at(F::kHalfGroups ? products.high : products.low), x[t], sum[t]);
  }
}

/// Adds `groups` groups, an even number, to the sums of a strip and 16 tokens; `first`: there are none yet. Asks for
/// kNextLines of the memory at `next` for each pair of groups.
template <class F>
void multiplyChunk(const UnpackedGroup* group, const Activations* x, int groups, bool first, float* sums,
                   const int8_t* next) {
  Vec sum[kWideTile];
  PW_UNROLL for (int t = 0; t < kWideTile; ++t) sum[t] = first ? Vec(0.0f) : loadF32(sums + t * kStripRows);
  GroupProducts even, odd;
  __asm__ volatile("" ::: "memory");  // of all tile intrinsics only stores tell gcc that they touch memory
  multiplyGroup<F, 0>(group[0], x, &even);
  for (int g = 0; g < groups; g += 2, x += 2 * kWideTile) {
    PW_UNROLL for (int line = 0; line < kNextLines; ++line, next += 64) prefetch(next);
    multiplyGroup<F, 1>(group[g + 1], x + kWideTile, &odd);
    addTileProducts<F>(group[g], x, even, sum);
    if (g + 2 < groups) multiplyGroup<F, 0>(group[g + 2], x + 2 * kWideTile, &even);
    addTileProducts<F>(group[g + 1], x + kWideTile, odd, sum);
  }
  PW_UNROLL for (int t = 0; t < kWideTile; ++t) storeF32(sums + t * kStripRows, sum[t]);
}

template <class F>
void unpackBlocks(const uint8_t* block, int64_t blocks, const typename F::Levels& levels, UnpackedGroup* to) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(F::kOffset));
  for (int64_t b = 0; b < blocks; ++b, block += F::kLayout.blockBytes())
    for (int g = 0; g < F::kLayout.groupsPerBlock; ++g, ++to) {
      Codes codes;
      F::codes(block + groupOffset(F::kLayout, g), 0, levels, &codes);
      PW_UNROLL for (int i = 0; i < 8; ++i)
          _mm512_store_si512(to->codes + i * kVectorBytes, _mm512_sub_epi8(codes.v[i].v, offset));
      const GroupScales<F> scales = groupScales<F>(block, g, 0);
      storeF32(to->scale, scales.scale);
      storeF32(to->second, scales.second);
    }
}

inline void prefetchFar(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

/// Bytes that multiplyWide() works in.
inline size_t wideScratchBytes(int64_t tokens) {
  return kStripsTogether * (kChunkGroups * sizeof(UnpackedGroup) +
                            static_cast<size_t>(tokens / kWideTile) * kTileOutputs * sizeof(float));
}

/// Rows [strip, strip + strips) times the whole tiles of tokens [firstToken, endToken), strips <= kStripsTogether.
template <class F>
void multiplyWide(const PackedOperands& o, int64_t strip, int strips, int64_t firstToken, int64_t endToken,
                  void* scratch) {
  constexpr int kChunkBlocks = kChunkGroups / F::kLayout.groupsPerBlock;
  const int64_t tiles = (endToken - firstToken) / kWideTile;
  auto* unpacked = static_cast<UnpackedGroup*>(scratch);
  auto* sums = reinterpret_cast<float*>(unpacked + kStripsTogether * kChunkGroups);
  typename F::Levels levels[kStripsTogether];
  for (int s = 0; s < strips; ++s) levels[s] = F::Levels::at(o.args.weight, strip + s, 0);

  for (int64_t block = 0; block < o.blocks; block += kChunkBlocks) {
    const int64_t count = o.blocks - block < kChunkBlocks ? o.blocks - block : kChunkBlocks;
    const int groups = static_cast<int>(count) * F::kLayout.groupsPerBlock;
    for (int s = 0; s < strips; ++s)
      unpackBlocks<F>(blockAt<F>(o, strip + s, block), count, levels[s], unpacked + s * kChunkGroups);
    // The next chunk's weights come from memory while this one's are multiplied.
    const int64_t bytes = F::kLayout.blockBytes() * kChunkBlocks, bytesPerTile = (bytes + tiles - 1) / tiles;
    const bool last = block + kChunkBlocks >= o.blocks;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t token = firstToken + tile * kWideTile;
      const Activations* x = recordsOf(o, {token, kWideTile}, block * F::kLayout.groupsPerBlock);
      const int64_t nextToken = tile + 1 < tiles ? token + kWideTile : firstToken;
      const Activations* nextTile = recordsOf(o, {nextToken, kWideTile}, block * F::kLayout.groupsPerBlock);
      for (int s = 0; s < strips; ++s) {
        const uint8_t* nextWeights =
            last ? blockAt<F>(o, strip + strips + s, 0) : blockAt<F>(o, strip + s, block + kChunkBlocks);
        for (int64_t at = tile * bytesPerTile; at < (tile + 1) * bytesPerTile; at += 64) prefetchFar(nextWeights + at);
        multiplyChunk<F>(unpacked + s * kChunkGroups, x, groups, block == 0, sums + (tile * strips + s) * kTileOutputs,
                         nextTile->codes + s * (kNextLines * 64 * kChunkGroups / 2));
      }
    }
  }

  // Row by row: rows of the output lie pages apart, and the strips' columns side by side.
  for (int64_t tile = 0; tile < tiles; ++tile, sums += strips * kTileOutputs)
    for (int t = 0; t < kWideTile; ++t)
      for (int s = 0; s < strips; ++s) {
        float* row = sums + s * kTileOutputs + t * kStripRows;
        if constexpr (!std::is_same_v<typename F::Levels, NoLevels>) storeF32(row, loadF32(row) * levels[s].unit);
        writeRow(o.args, row, firstToken + tile * kWideTile + t, (strip + s) * kStripRows);
      }
}

constexpr plan::LinearTiling kTiling{kWideTile, kStripsTogether, 1280 << 10};  // processors with AMX have 2 MiB

/// All strips and tokens of a task. What fills no wide tile is AVX-512's.
template <class F>
void multiplyTaskWide(const PackedOperands& o, const PackedTask& task, Context& context, int worker) {
  const int64_t wide = o.tokens / kWideTile * kWideTile;
  int64_t endWide = task.endToken < wide ? task.endToken : wide;
  // One tile alone does not pay for unpacking.
  if (endWide - task.firstToken < 2 * kWideTile) return avx512vnni::multiplyPacked(o, task, context, worker);
  void* scratch = context.scratch(worker, wideScratchBytes(endWide - task.firstToken));
  for (int64_t s = task.firstStrip; s < task.endStrip; s += kStripsTogether) {
    const int strips = static_cast<int>(task.endStrip - s < kStripsTogether ? task.endStrip - s : kStripsTogether);
    {
      const TileShapes shapes(F::kHalfGroups ? kGroup / 2 : kGroup);
      multiplyWide<F>(o, s, strips, task.firstToken, endWide, scratch);
    }
    if (endWide < task.endToken)
      avx512vnni::multiplyPacked(o, {s, s + strips, endWide, task.endToken}, context, worker);
  }
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
