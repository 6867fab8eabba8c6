// SPDX-License-Identifier: Apache-2.0
/// @file The kernel over packed weights: out = x . W^T (+ bias) (+ residual), or silu(gate) * up of it, for any number
/// of tokens.
///
/// What it must move: a 4-bit weight is 4.5 bits with its scale, and meets m activations. Up to some 32 tokens memory
/// is the limit: a stage of 9 KiB of weights per multiprocessor comes every 600 to 900 cycles on A100 and H100, in
/// which the eight warps issue about (110 + 30 m / 8) instructions each. So weights are streamed once, four stages
/// ahead, past the first-level cache and first to leave the second; blocks take runs of equal length of the iterations,
/// whatever the matrix' shape, and the last block to arrive at a tile that several share adds their partial sums in a
/// fixed order.
#pragma once
#include "common/mma.cuh"
#include "common/mma_integers.cuh"
#include "linear/packed_codes.cuh"
#include "linear/packed_finish.cuh"
#include "linear/packed_tile.cuh"

namespace pw::gpu {

/// Activations of a slice as mma operands, most significant term last.
template <class T>
__device__ inline void loadOperand(const uint8_t* from, uint32_t (&b)[T::kTerms][2]) {
  if constexpr (T::kActivation != PW_F32) {
    const uint2 words = *reinterpret_cast<const uint2*>(from);
    b[0][0] = words.x, b[0][1] = words.y;
  } else {
    const float4 four = *reinterpret_cast<const float4*>(from);
    float rest[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int term = T::kTerms - 1; term >= 0; --term)
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        const uint32_t word = floatsToBfloat2(rest[2 * pair], rest[2 * pair + 1]);
        b[term][pair] = word;
        float low, high;
        unpack2<PW_BF16>(word, low, high);
        rest[2 * pair] -= low, rest[2 * pair + 1] -= high;
      }
  }
}

/// Tables of levels as operands: of all pairs of levels, or of a tile's rows.
template <class T>
__device__ inline void loadLevels(const pw_gpu_linear_packed_params& p, const Strips& strips, int column,
                                  uint8_t* tables) {
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (T::kRowTables) {
    constexpr int kCopies = rowTableCopies(T::kShape), kGroups = kStripRows / kLaneRows;
    auto* to = reinterpret_cast<uint32_t*>(tables);
    for (int i = thread; i < T::kRows * 16; i += T::kThreads) {
      const int group = i % kGroups, level = i / kGroups % 16, inLane = i / (kGroups * 16);
      const int row =
          strips[column * T::kStrips + inLane / kLaneRows] * kStripRows + group * kLaneRows + inLane % kLaneRows;
      const uint32_t terms = splitLevel<T::kOperand>(row < p.n ? p.levels[row * 16 + level] : 0.0f);
#pragma unroll
      for (int copy = 0; copy < kCopies; ++copy) to[i * kCopies + copy] = terms;
    }
  } else {
    static_assert(T::kThreads == 256, "a thread per pair");
    const uint32_t first = splitLevel<T::kOperand>(p.levels[thread % 16]),
                   second = splitLevel<T::kOperand>(p.levels[thread / 16]);
    const uint32_t large = __byte_perm(first, second, 0x5410), small = __byte_perm(first, second, 0x7632);
    constexpr int kVectors = T::kTableCopies / 2;
    auto* to = reinterpret_cast<uint4*>(tables) + thread * kVectors;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) to[(i + thread) % kVectors] = make_uint4(large, small, large, small);
  }
}

/// The activations that meet operand `weight` of a weight's or, where an operand has both terms of a level
/// (kRowTables), of a pair of columns: these twice.
template <class T>
__device__ inline void meeting(const uint32_t (&b)[2], int weight, uint32_t (&out)[2]) {
  out[0] = T::kRowTables ? __byte_perm(b[weight], 0, 0x1010) : b[0];
  out[1] = T::kRowTables ? __byte_perm(b[weight], 0, 0x3232) : b[1];
}

/// Multiplies the row tiles of a block of the layout from kFirst on by all tokens.
/// @param activations the lane's of the block
template <class T, int kFirst, class BlockCodes, class BlockScales>
__device__ inline void multiplyRows(const uint8_t* activations, const BlockCodes& codes, const BlockScales& scales,
                                    Sums<T>& sums) {
  constexpr int kOperand = T::kOperand, kSlices = kBlockColumns / kSliceColumns, kCount = T::kWarpTiles;
  constexpr int kSets = BlockScales::kSets, kSetSlices = kSlices / kSets, kExcess = BlockCodes::kExcess;
  typename BlockCodes::Operand a[kCount][kSlices];
  float scale[kCount][kSets][2], minimum[kCount][2];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) codes.operand(kFirst + i, slice, a[i][slice]);
#pragma unroll
    for (int set = 0; set < kSets; ++set) scales.scale(kFirst + i, set, scale[i][set]);
    if constexpr (BlockScales::kMinimum) scales.minimum(kFirst + i, minimum[i]);
  }

#pragma unroll
  for (int j = 0; j < T::kTokenTiles; ++j) {
    uint32_t b[kSlices][T::kTerms][2];
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) loadOperand<T>(activations + T::partOffset(slice, 8 * j), b[slice]);

    // Sums of activations of tokens 2t, 2t + 1, in the units of both rows: for minima, or, times what codes are too
    // large by, for the products to begin with. Where they serve for both, the factor comes afterwards.
    constexpr int kFactor = BlockScales::kMinimum ? 1 : -kExcess, kLater = BlockScales::kMinimum ? -kExcess : 1;
    float totals[kSets][4] = {};
    if constexpr (BlockScales::kMinimum || kExcess != 0) {
      constexpr uint32_t kEven = BlockCodes::constant(kFactor, 0), kOdd = BlockCodes::constant(kFactor, 1);
      const uint32_t factors[4] = {kEven, kOdd, kEven, kOdd};
#pragma unroll
      for (int slice = 0; slice < kSlices; ++slice)
#pragma unroll
        for (int term = 0; term < T::kTerms; ++term)
          mma16x8x16<kOperand>(totals[slice / kSetSlices], factors, b[slice][term]);
    }

#pragma unroll
    for (int i = 0; i < kCount; ++i) {
#pragma unroll
      for (int set = 0; set < kSets; ++set) {
        float part[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) part[e] = kExcess != 0 ? kLater * totals[set][e] : 0.0f;
#pragma unroll
        for (int slice = set * kSetSlices; slice < (set + 1) * kSetSlices; ++slice)
#pragma unroll
          for (int weight = BlockCodes::kTerms - 1; weight >= 0; --weight)
#pragma unroll
            for (int term = 0; term < T::kTerms; ++term) {
              uint32_t x[2];
              meeting<T>(b[slice][term], weight, x);
              mma16x8x16<kOperand>(part, a[i][slice][weight], x);
            }
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[i][j][e] = fmaf(scale[i][set][e / 2], part[e], sums[i][j][e]);
      }
      if constexpr (BlockScales::kMinimum)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[i][j][e] = fmaf(minimum[i][e / 2], totals[0][e], sums[i][j][e]);
    }
  }
}

/// The same by int8 activations: exact sums of the products that share a scale, in f32 from there on.
template <class T, int kFirst, class BlockScales>
__device__ inline void multiplyIntegers(const uint8_t* from, const uint8_t* sumsFrom,
                                        const ByteCodes<T::kFormat>& codes, const BlockScales& scales, Sums<T>& sums) {
  constexpr int kSets = BlockScales::kSets, kOffset = T::kLayout.offset;
  uint32_t a[T::kWarpTiles][4];
  float scale[T::kWarpTiles][kSets][2], minimum[T::kWarpTiles][2];
#pragma unroll
  for (int i = 0; i < T::kWarpTiles; ++i) {
    codes.operand(kFirst + i, a[i]);
#pragma unroll
    for (int set = 0; set < kSets; ++set) scales.scale(kFirst + i, set, scale[i][set]);
    if constexpr (BlockScales::kMinimum) scales.minimum(kFirst + i, minimum[i]);
  }
#pragma unroll
  for (int j = 0; j < T::kTokenTiles; ++j) {
    const uint2 words = *reinterpret_cast<const uint2*>(from + T::partOffset(0, 8 * j));
    const uint32_t b[2] = {words.x, words.y};
    // What offsets add to the sums of tokens 2t, 2t + 1: there are sums of activations of 32 columns.
    int32_t excess[kSets][4] = {};
    int total[2] = {};
    if constexpr (kSets == 1) {
      const int2 totals = *reinterpret_cast<const int2*>(sumsFrom + 8 * j * sizeof(int32_t));
      total[0] = totals.x, total[1] = totals.y;
#pragma unroll
      for (int e = 0; e < 4; ++e) excess[0][e] = kOffset * total[e % 2];
    } else {
      const uint32_t offsets[2] = {kOffset * 0x01010101u, kOffset * 0x01010101u};
#pragma unroll
      for (int set = 0; set < kSets; ++set) mma16x8x16(excess[set], offsets, b[set]);
    }
#pragma unroll
    for (int i = 0; i < T::kWarpTiles; ++i) {
#pragma unroll
      for (int set = 0; set < kSets; ++set) {
        int32_t part[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) part[e] = -excess[set][e];
        if constexpr (kSets == 1)
          mma16x8x32(part, a[i], b);
        else
          mma16x8x16(part, {a[i][2 * set], a[i][2 * set + 1]}, b[set]);
#pragma unroll
        for (int e = 0; e < 4; ++e)
          sums[i][j][e] = fmaf(scale[i][set][e / 2], static_cast<float>(part[e]), sums[i][j][e]);
      }
      if constexpr (BlockScales::kMinimum)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          sums[i][j][e] = fmaf(minimum[i][e / 2], static_cast<float>(total[e % 2]), sums[i][j][e]);
    }
  }
}

/// Multiplies the row tiles from kFirst on of the block that is number `step` of the warp's, `depth` blocks further
/// along k than its first, by all tokens.
/// @param super the stage with its super header
template <class T, int kFirst>
__device__ inline void multiplyTiles(const uint8_t* stage, const uint8_t* super, const LanePlace<T>& place, int step,
                                     int depth, Sums<T>& sums) {
  using BlockScales = Scales<T::kFormat>;
  const int block = T::blockOffset(step * T::kBlockStep);
  const uint8_t* headers = BlockScales::kSuperHalves ? super + T::superOffset(step) : stage + block;
  const BlockScales scales(headers + place.halves, stage + place.bytes + block);
  const uint8_t* codes = stage + place.codes + block;
  constexpr int kParts = kBlockColumns / T::kPartColumns;
  const uint8_t* activations = stage + place.activations + T::partOffset(depth * kParts, 0);
  if constexpr (T::kIntegers) {
    multiplyIntegers<T, kFirst>(activations, stage + place.sums + depth * T::kTokens * sizeof(int32_t),
                                ByteCodes<T::kFormat>(codes), scales, sums);
  } else {
    multiplyRows<T, kFirst>(activations, Codes<T>(codes, stage + place.tail + block, place.levels), scales, sums);
  }
}

/// Multiplies half of the row tiles, from kFirst on, of all blocks of the warp's strip.
/// @param exists is the block of that number one of the matrix?
template <class T, int kFirst, class Exists>
__device__ inline void multiplyHalf(const uint8_t* stage, const uint8_t* super, const LanePlace<T>& place,
                                    const Exists& exists, Sums<T>& sums) {
#pragma unroll
  for (int depth = 0; depth < T::kDepth; ++depth)
    if (exists(T::firstBlock() + depth * T::kBlockStep))
      multiplyTiles<T, kFirst>(stage, super, place, depth, depth, sums);
}

/// What a warp multiplies of a stage.
template <class T>
__device__ inline void multiplyStage(const uint8_t* stage, const uint8_t* super, const LanePlace<T>& place,
                                     const Cursor& at, int strips, int blocks, Sums<T> (&sums)[T::kWarpStrips]) {
  // Past the last strip or column there is nothing, not even zeros.
  const auto exists = [&](int block) {
    return at.column * T::kStrips + block % T::kStrips < strips && at.stage * T::kDepth + block / T::kStrips < blocks;
  };
  if constexpr (T::kRowParts == 1) {
#pragma unroll
    for (int i = 0; i < T::kWarpStrips; ++i)
      if (exists(T::firstBlock() + i * T::kBlockStep)) multiplyTiles<T, 0>(stage, super, place, i, 0, sums[i]);
  } else if (static_cast<int>(threadIdx.x) / kLanes < T::kStrips) {
    multiplyHalf<T, 0>(stage, super, place, exists, sums[0]);
  } else {
    multiplyHalf<T, T::kWarpTiles>(stage, super, place, exists, sums[0]);
  }
}

template <class T>
__device__ inline void linearPacked(const pw_gpu_linear_packed_params& p) {
  extern __shared__ __align__(128) uint8_t shared[];
  const int begin = static_cast<int>(blockIdx.x) * p.iterations_per_block;
  const int end = min(begin + p.iterations_per_block, p.iterations);
  const int blocks = static_cast<int>(blockCount(p.k));
  const Strips strips(p);
  const Finisher<T> finisher(p, strips, begin, end);
  Cursor ahead(p, begin), at = ahead;
  Loader<T> loader(p, strips, ahead, shared);
  SuperTurns<T> superTurns(shared);
  Sums<T> sums[T::kWarpStrips] = {};
  uint8_t* const tables = shared + T::kStages * T::kStageBytes;
  const LanePlace<T> place(Scales<T::kFormat>::kSuperHalves, sharedAddress(tables));
  if constexpr (T::kLevels && !T::kRowTables) loadLevels<T>(p, strips, 0, tables);
  // The first turns only fill the pipeline.
  constexpr int kAhead = T::kStages - 1;
  uint8_t* stage = shared;  // that was multiplied last and is loaded next
#pragma unroll 1
  for (int i = begin - kAhead; i < end; ++i) {
    if (i >= begin) {
      waitForCopies<kAhead - 1>();
      __syncthreads();
    }
    if (i + kAhead < end) loader.load(stage, ahead);
    ahead.advance(p);
    commitCopies();
    stage = stage == shared + kAhead * T::kStageBytes ? shared : stage + T::kStageBytes;
    if (i < begin) continue;
    if (T::kRowTables && (i == begin || (at.stage == 0 && at.tokenBlock == 0))) {
      loadLevels<T>(p, strips, at.column, tables);
      __syncthreads();
    }
    if constexpr (T::kLayout.superHeaderBytes > 0) superTurns.enter(at.stage);
    multiplyStage<T>(stage, superTurns.stage(), place, at, strips.count(), blocks, sums);
    if (at.stage + 1 == p.stages || i + 1 == end)
      finisher.finish(at, i / p.stages, reinterpret_cast<float*>(stage), sums);
    at.advance(p);
  }
}

}  // namespace pw::gpu

/// An entry point: format, activations, tokens and strips of 64 features of a tile; do rows have tables of levels?
#define PW_LINEAR_PACKED_LEVELS(name, format, activation, tokens, strips, rowTables)                  \
  extern "C" __global__ void __launch_bounds__(pw::gpu::kPackedThreads, 1)                            \
      pw_linear_##name##_##tokens##x##strips(const __grid_constant__ pw_gpu_linear_packed_params p) { \
    pw::gpu::linearPacked<pw::gpu::Tile<format, activation, tokens, strips, rowTables>>(p);           \
  }
#define PW_LINEAR_PACKED(name, format, activation, tokens, strips) \
  PW_LINEAR_PACKED_LEVELS(name, format, activation, tokens, strips, false)
