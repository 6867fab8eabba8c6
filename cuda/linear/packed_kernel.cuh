// SPDX-License-Identifier: Apache-2.0
/// @file The kernel over packed weights: out = x . W^T (+ bias) (+ residual), for any number of tokens.
///
/// What it must move: a 4-bit weight is 4.5 bits with its scale, and meets m activations. Up to some 32 tokens memory
/// is the limit: a stage of 9 KiB of weights per multiprocessor comes every 600 to 900 cycles on A100 and H100, in
/// which the eight warps issue about (110 + 30 m / 8) instructions each. So weights are streamed once, four stages
/// ahead, past the first-level cache and first to leave the second; blocks take runs of equal length of the iterations,
/// whatever the matrix' shape, and the last block to arrive at a tile that several share adds their partial sums in a
/// fixed order.
#pragma once
#include "common/mma.cuh"
#include "linear/packed_codes.cuh"
#include "linear/packed_tile.cuh"

namespace pw::gpu {

/// Sums of a lane: [row tile][token tile][row g: tokens 2t, 2t + 1; row g + 8: tokens 2t, 2t + 1].
template <class T>
using Sums = float[4][T::kWarpTokenTiles][4];

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

/// Tables of levels of a tile's rows, as operands.
template <class T>
__device__ inline void loadLevels(const pw_gpu_linear_packed_params& p, int column, uint32_t* levels) {
  for (int i = static_cast<int>(threadIdx.x); i < T::kRows * 16; i += T::kThreads) {
    const int row = column * T::kRows + i / 16;
    const float level = row < p.n ? p.levels[(p.level_tables == 1 ? 0 : row * 16) + i % 16] : 0.0f;
    levels[i / 16 * kLevelStride + i % 16] = splitLevel<T::kOperand>(level);
  }
}

/// Multiplies a block of the layout by the tokens from `firstToken` on.
template <class T>
__device__ inline void multiplyBlock(const uint8_t* stage, const uint32_t* levels, int strip, int depth, int firstToken,
                                     Sums<T>& sums) {
  constexpr int kOperand = T::kOperand, kSlices = kBlockColumns / kSliceColumns;
  using BlockScales = Scales<T::kFormat>;
  const int lane = static_cast<int>(threadIdx.x) % kLanes, g = lane / 4, t = lane % 4;
  const uint8_t* header = stage + T::blockOffset(strip, depth);
  using BlockCodes = Codes<T::kFormat, kOperand, T::kBiased>;
  const BlockCodes codes(header + T::kLayout.headerBytes, levels + (strip * kStripRows + g * kLaneRows) * kLevelStride,
                         lane);
  const BlockScales scales(header, stage + T::superHeaderOffset(strip), g * kLaneRows);

  typename BlockCodes::Operand a[4][kSlices];
  float scale[4][BlockScales::kSets][2], minimum[4][2];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) codes.operand(i, slice, a[i][slice]);
#pragma unroll
    for (int set = 0; set < BlockScales::kSets; ++set) scales.scale(i, set, scale[i][set]);
    if constexpr (BlockScales::kMinimum) scales.minimum(i, minimum[i]);
  }

#pragma unroll
  for (int j = 0; j < T::kWarpTokenTiles; ++j) {
    uint32_t b[kSlices][T::kTerms][2];
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) {
      const int byte = (depth * kBlockColumns + slice * kSliceColumns + 4 * t) * T::kElementBytes;
      loadOperand<T>(stage + T::chunkOffset(firstToken + 8 * j + g, byte / 16) + byte % 16, b[slice]);
    }

    // Sums of activations of tokens 2t, 2t + 1, twice: all rows of the operand are ones.
    float total[4] = {};
    if constexpr (T::kBiased || BlockScales::kMinimum) {
      constexpr uint32_t kOnes = twice(integerBits(kOperand, 1));
      const uint32_t ones[4] = {kOnes, kOnes, kOnes, kOnes};
#pragma unroll
      for (int slice = 0; slice < kSlices; ++slice)
#pragma unroll
        for (int term = 0; term < T::kTerms; ++term) mma16x8x16<kOperand>(total, ones, b[slice][term]);
    }

#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float part[4] = {};
      if constexpr (T::kBiased) {
        constexpr auto kExcess = static_cast<float>(BlockCodes::kExcess);
#pragma unroll
        for (int e = 0; e < 4; ++e) part[e] = -kExcess * total[e];
      }
#pragma unroll
      for (int slice = 0; slice < kSlices; ++slice) {
#pragma unroll
        for (int weight = BlockCodes::kTerms - 1; weight >= 0; --weight)
#pragma unroll
          for (int term = 0; term < T::kTerms; ++term) mma16x8x16<kOperand>(part, a[i][slice][weight], b[slice][term]);
        if (BlockScales::kSets == 1 && slice + 1 < kSlices) continue;
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          sums[i][j][e] = fmaf(scale[i][BlockScales::kSets == 1 ? 0 : slice][e / 2], part[e], sums[i][j][e]);
          part[e] = 0.0f;
        }
      }
      if constexpr (BlockScales::kMinimum)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[i][j][e] = fmaf(minimum[i][e / 2], total[e], sums[i][j][e]);
    }
  }
}

/// Adds bias and residual to eight features of a token and stores them.
/// @param eight fills an array with their sums
/// @param one gives the sum of one of them: where rows are not aligned or end within the eight, they go one by one, in
/// a
///   loop that is worth its few instructions only
template <class Eight, class One>
__device__ inline void storeFeatures(const pw_gpu_linear_packed_params& p, int token, int row, const Eight& eight,
                                     const One& one) {
  const int64_t to = token * p.out_stride + row, residual = token * p.residual_stride + row;
  if (p.out_aligned && row + kLaneRows <= p.n) {
    float x[kLaneRows], more[kLaneRows];
    eight(x);
    const auto add = [&](const void* from, int dtype, int64_t at) {
      loadEight(from, dtype, at, more);
#pragma unroll
      for (int i = 0; i < kLaneRows; ++i) x[i] += more[i];
    };
    if (p.bias) add(p.bias, p.bias_type, row);
    if (p.residual) add(p.residual, p.residual_type, residual);
    storeEight(p.out, p.out_type, to, x);
    return;
  }
#pragma unroll 1
  for (int i = 0; i < min(kLaneRows, p.n - row); ++i) {
    float x = one(i);
    if (p.bias) x += loadFloat(p.bias, p.bias_type, row + i);
    if (p.residual) x += loadFloat(p.residual, p.residual_type, residual + i);
    storeFloat(p.out, p.out_type, to + i, x);
  }
}

/// Ends a tile: adds the sums of the warps along k, then stores the result, or a partial sum if other blocks have
/// worked on the tile as well.
template <class T>
class Finisher {
 public:
  __device__ Finisher(const pw_gpu_linear_packed_params& p, int begin, int end) : p_(p), begin_(begin), end_(end) {}

  /// All threads of the block call this. Leaves `sums` zero.
  /// @param shared of the stage that has just been multiplied
  __device__ void finish(const Cursor& at, int tile, float* shared, Sums<T>& sums) const {
    const int first = tile * p_.stages, last = first + p_.stages - 1;
    const bool whole = first >= begin_ && last < end_;
    const int tokens = min(T::kTokens, p_.m - at.tokenBlock * T::kTokens);
    const int slot = 2 * static_cast<int>(blockIdx.x) + (first >= begin_ ? 1 : 0);
#pragma unroll 1
    for (int j = 0; j < T::kWarpTokenTiles; ++j) {
#pragma unroll 1
      for (int parity = 0; parity < 2; ++parity) {
        __syncthreads();
        writeWarp(shared, sums);
        __syncthreads();
        // Eight features of a token per thread, neighbours along the features.
        constexpr int kGroups = T::kRows / kLaneRows;
        const int group = static_cast<int>(threadIdx.x) % kGroups, item = static_cast<int>(threadIdx.x) / kGroups;
        const int pair = item % 4, tokenGroup = item / 4;
        const int token = 8 * (tokenGroup * T::kWarpTokenTiles + j) + 2 * pair + parity;
        if (tokenGroup >= T::kTokenGroups || token >= tokens) continue;
        const float* from = warpSums(shared, group, pair, tokenGroup);
        if (whole) {
          store(
              at, token, group, [&](float(&x)[kLaneRows]) { addWarps(from, x); },
              [&](int i) { return addWarps(from + i); });
        } else {
          float x[kLaneRows];
          addWarps(from, x);
          writePartial(partial(slot, token) + group * kLaneRows, x);
        }
      }
    }
    const int from = first / p_.iterations_per_block, to = last / p_.iterations_per_block;
    if (!whole && arriveLast(tile, from, to, reinterpret_cast<int*>(shared))) addBlocks(at, first, from, to, tokens);
  }

 private:
  /// The sums of four tokens, those with the parity of the call. The other sums move down, so that this code exists
  /// once.
  __device__ static void writeWarp(float* shared, Sums<T>& sums) {
    const int warp = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes;
    float* to = shared + (warp * 4 + lane % 4) * T::kSumStride + lane / 4 * kLaneRows;
#pragma unroll
    for (int i = 0; i < 4; i += 2)
      *reinterpret_cast<uint4*>(to + 2 * i) =
          make_uint4(__float_as_uint(sums[i][0][0]), __float_as_uint(sums[i][0][2]), __float_as_uint(sums[i + 1][0][0]),
                     __float_as_uint(sums[i + 1][0][2]));
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < T::kWarpTokenTiles; ++j)
#pragma unroll
        for (int row = 0; row < 4; row += 2) {
          sums[i][j][row] = sums[i][j][row + 1];
          sums[i][j][row + 1] = j + 1 < T::kWarpTokenTiles ? sums[i][(j + 1) % T::kWarpTokenTiles][row] : 0.0f;
        }
  }

  /// Sums of eight features of a token, of the first warp that has them.
  __device__ static const float* warpSums(const float* shared, int group, int pair, int tokenGroup) {
    constexpr int kGroups = kStripRows / kLaneRows;
    const int warp = tokenGroup * T::kStrips + group / kGroups;
    return shared + (warp * 4 + pair) * T::kSumStride + group % kGroups * kLaneRows;
  }

  /// Sums of the warps along k.
  static constexpr int kSharing = T::kTokenGroups == 1 ? T::kDepth : 1, kWarpStep = T::kStrips * 4 * T::kSumStride;
  __device__ static void addWarps(const float* from, float (&x)[kLaneRows]) {
    float more[kLaneRows];
#pragma unroll
    for (int depth = 0; depth < kSharing; ++depth) {
      loadEight(from + depth * kWarpStep, PW_F32, 0, depth == 0 ? x : more);
      if (depth > 0)
#pragma unroll
        for (int i = 0; i < kLaneRows; ++i) x[i] += more[i];
    }
  }
  __device__ static float addWarps(const float* from) {
    float x = *from;
#pragma unroll
    for (int depth = 1; depth < kSharing; ++depth) x += from[depth * kWarpStep];
    return x;
  }

  __device__ float* partial(int slot, int token) const {
    return p_.partials + (static_cast<int64_t>(slot) * T::kTokens + token) * T::kRows;
  }

  /// Past the first-level cache, which other multiprocessors do not see.
  __device__ static void writePartial(float* to, const float (&x)[kLaneRows]) {
    __stcg(reinterpret_cast<float4*>(to), make_float4(x[0], x[1], x[2], x[3]));
    __stcg(reinterpret_cast<float4*>(to) + 1, make_float4(x[4], x[5], x[6], x[7]));
  }

  template <class Eight, class One>
  __device__ void store(const Cursor& at, int token, int group, const Eight& eight, const One& one) const {
    const int row = at.column * T::kRows + group * kLaneRows;
    if (row < p_.n) storeFeatures(p_, at.tokenBlock * T::kTokens + token, row, eight, one);
  }

  /// Counts this block's arrival at the tile that blocks `from` to `to` share: is it the last of them?
  __device__ bool arriveLast(int tile, int from, int to, int* last) const {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) *last = atomicAdd(p_.arrivals + tile, 1u) == static_cast<uint32_t>(to - from);
    __syncthreads();
    __threadfence();
    return *last != 0;
  }

  /// Sums of all the blocks of a tile in their order along k, whichever of them does it.
  __device__ void addBlocks(const Cursor& at, int first, int from, int to, int tokens) const {
    constexpr int kGroups = T::kRows / kLaneRows;
    for (int item = static_cast<int>(threadIdx.x); item < tokens * kGroups; item += T::kThreads) {
      const int group = item % kGroups, token = item / kGroups;
      const auto share = [&](int block) {
        // Only the first block's share can begin the tile.
        const int slot = 2 * block + (first >= block * p_.iterations_per_block ? 1 : 0);
        return partial(slot, token) + group * kLaneRows;
      };
      const auto eight = [&](float(&x)[kLaneRows]) {
#pragma unroll
        for (float& sum : x) sum = 0.0f;
#pragma unroll 1
        for (int block = from; block <= to; ++block) {
          const auto* vectors = reinterpret_cast<const float4*>(share(block));
          const float4 low = __ldcg(vectors), high = __ldcg(vectors + 1);
          x[0] += low.x, x[1] += low.y, x[2] += low.z, x[3] += low.w;
          x[4] += high.x, x[5] += high.y, x[6] += high.z, x[7] += high.w;
        }
      };
      const auto one = [&](int i) {
        float x = 0.0f;
#pragma unroll 1
        for (int block = from; block <= to; ++block) x += __ldcg(share(block) + i);
        return x;
      };
      store(at, token, group, eight, one);
    }
  }

  const pw_gpu_linear_packed_params& p_;
  int begin_, end_;
};

template <class T>
__device__ inline void linearPacked(const pw_gpu_linear_packed_params& p) {
  extern __shared__ __align__(128) uint8_t shared[];
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const int begin = static_cast<int>(blockIdx.x) * p.iterations_per_block;
  const int end = min(begin + p.iterations_per_block, p.iterations);
  const int strips = static_cast<int>(stripCount(p.n)), blocks = static_cast<int>(blockCount(p.k));
  const Loader<T> loader(p, shared);
  const Finisher<T> finisher(p, begin, end);
  Cursor ahead(p, begin), at = ahead;
  Sums<T> sums = {};
  // The first turns only fill the pipeline.
  constexpr int kAhead = T::kStages - 1;
#pragma unroll 1
  for (int i = begin - kAhead, slot = 0; i < end; ++i, slot = slot == kAhead ? 0 : slot + 1) {
    if (i >= begin) {
      waitForCopies<kAhead - 1>();
      __syncthreads();
    }
    if (i + kAhead < end) loader.load(slot, ahead);
    ahead.advance(p);
    commitCopies();
    if (i < begin) continue;
    const int current = slot == kAhead ? 0 : slot + 1;
    uint8_t* stage = shared + current * T::kStageBytes;
    auto* levels = reinterpret_cast<uint32_t*>(shared + T::kStages * T::kStageBytes);
    if (T::kLevels && (i == begin || (at.stage == 0 && at.tokenBlock == 0))) {
      loadLevels<T>(p, at.column, levels);
      __syncthreads();
    }
    const int strip = warp % T::kStrips, part = warp / T::kStrips;
#pragma unroll 1
    for (int d = 0; d < T::kWarpDepth; ++d) {
      // Past the last strip or column there is nothing, not even zeros.
      const int depth = T::kTokenGroups == 1 ? part : d, firstToken = T::kTokenGroups == 1 ? 0 : part * T::kTokens / 2;
      if (at.column * T::kStrips + strip < strips && at.stage * T::kDepth + depth < blocks)
        multiplyBlock<T>(stage, levels, strip, depth, firstToken, sums);
    }
    if (at.stage + 1 == p.stages || i + 1 == end)
      finisher.finish(at, i / p.stages, reinterpret_cast<float*>(stage), sums);
    at.advance(p);
  }
}

}  // namespace pw::gpu

/// An entry point: format, activations, tokens per tile.
#define PW_LINEAR_PACKED(name, format, activation, tokens)                      \
  extern "C" __global__ void __launch_bounds__(pw::gpu::kPackedThreads, 1)      \
      pw_linear_##name(const __grid_constant__ pw_gpu_linear_packed_params p) { \
    pw::gpu::linearPacked<pw::gpu::Tile<format, activation, (tokens) / 8>>(p);  \
  }
