// SPDX-License-Identifier: Apache-2.0
/// @file The end of a tile: sums of warps and of blocks, and what is done to them on their way out.
#pragma once
#include "common/activate.cuh"
#include "linear/packed_codes.cuh"
#include "linear/packed_tile.cuh"

namespace pw::gpu {

/// What happens to sums before they are stored: bias, gate, residual.
class Epilogue {
 public:
  __device__ explicit Epilogue(const pw_gpu_linear_packed_params& p) : p_(p), features_(p.gated ? p.n / 2 : p.n) {}

  /// Eight output features of a token, from feature `first` on.
  /// @param eight eight(up, x) fills x with their sums; `up`: the other half's, of a gated layer
  /// @param one one(up, i) is one of these: where rows are not aligned or end within the eight, features go one by one,
  ///   in a loop that is worth its few instructions only
  template <class Eight, class One>
  __device__ void store(int token, int first, const Eight& eight, const One& one) const {
    if (first >= features_) return;
    if (p_.out_aligned && first + kLaneRows <= features_)
      storeEightFeatures(token, first, eight);
    else
      storeOneByOne(token, first, one);
  }

 private:
  template <class Eight>
  __device__ void storeEightFeatures(int token, int first, const Eight& eight) const {
    float x[kLaneRows], more[kLaneRows];
    eight(false, x);
    scale(token, first, x);
    if (p_.bias) add(p_.bias, p_.bias_type, first, x);
    if (p_.gated) {
      eight(true, more);
      scale(token, features_ + first, more);
      if (p_.bias) add(p_.bias, p_.bias_type, features_ + first, more);
#pragma unroll
      for (int i = 0; i < kLaneRows; ++i) x[i] = activate(PW_SILU, x[i]) * more[i];
    }
    if (p_.residual) add(p_.residual, p_.residual_type, token * p_.residual_stride + first, x);
    storeEight(p_.out, p_.out_type, token * p_.out_stride + first, x);
  }

  template <class One>
  __device__ void storeOneByOne(int token, int first, const One& one) const {
#pragma unroll 1
    for (int i = 0; i < min(kLaneRows, features_ - first); ++i) {
      const int feature = first + i;
      float x = one(false, i) * scaleOf(token, feature);
      if (p_.bias) x += loadFloat(p_.bias, p_.bias_type, feature);
      if (p_.gated) {
        float up = one(true, i) * scaleOf(token, features_ + feature);
        if (p_.bias) up += loadFloat(p_.bias, p_.bias_type, features_ + feature);
        x = activate(PW_SILU, x) * up;
      }
      if (p_.residual) x += loadFloat(p_.residual, p_.residual_type, token * p_.residual_stride + feature);
      storeFloat(p_.out, p_.out_type, token * p_.out_stride + feature, x);
    }
  }

  /// What a sum is multiplied by: the scale of int8 activations, the factor of a matrix or of its rows.
  __device__ float scaleOf(int token, int row) const {
    const float x = scaleOfToken(token);
    return hasRowFactors() ? x * p_.factors[row] : x;
  }
  /// Of eight features' sums, what they have in common is read once.
  __device__ void scale(int token, int row, float (&x)[kLaneRows]) const {
    if (!p_.x_scales && !p_.factors) return;
    const float common = scaleOfToken(token);
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) x[i] *= hasRowFactors() ? common * p_.factors[row + i] : common;
  }
  __device__ float scaleOfToken(int token) const {
    const float x = p_.x_scales ? p_.x_scales[token] : 1.0f;
    return p_.factors && !hasRowFactors() ? x * p_.factors[0] : x;
  }
  __device__ bool hasRowFactors() const { return p_.factors && p_.level_tables != 1; }

  __device__ static void add(const void* from, int dtype, int64_t at, float (&x)[kLaneRows]) {
    float more[kLaneRows];
    loadEight(from, dtype, at, more);
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) x[i] += more[i];
  }

  const pw_gpu_linear_packed_params& p_;
  int features_;
};

/// Ends a tile: adds the sums of the warps along k, then stores the result, or a partial sum if other blocks have
/// worked on the tile as well.
template <class T>
class Finisher {
 public:
  __device__ Finisher(const pw_gpu_linear_packed_params& p, const Strips& strips, int begin, int end)
      : p_(p), strips_(strips), epilogue_(p), begin_(begin), end_(end) {}

  /// All threads of the block call this. Leaves `sums` zero.
  /// @param shared of the stage that has just been multiplied
  __device__ void finish(const Cursor& at, int tile, float* shared, Sums<T> (&sums)[T::kWarpStrips]) const {
    const int first = tile * p_.stages, last = first + p_.stages - 1;
    const bool whole = first >= begin_ && last < end_;
    const int tokens = min(T::kTokens, p_.m - at.tokenBlock * T::kTokens);
    const int slot = 2 * static_cast<int>(blockIdx.x) + (first >= begin_ ? 1 : 0);
    // Eight features of a token per thread, neighbours along the features.
    constexpr int kGroups = T::kRoundStrips * kStripGroups;
    const int inRound = static_cast<int>(threadIdx.x) % kGroups, pair = static_cast<int>(threadIdx.x) / kGroups;
    // A turn is four tokens of a round of strips: half of the pairs of a token tile.
#pragma unroll 1
    for (int turn = 0; turn < T::kWarpStrips * T::kTokenTiles * 2; ++turn) {
      __syncthreads();
      writeWarp(shared, sums);
      __syncthreads();
      const int token = turn / 2 % T::kTokenTiles * 8 + 2 * pair + turn % 2;
      const int group = turn / (2 * T::kTokenTiles) * kGroups + inRound;
      if (pair >= 4 || token >= tokens) continue;
      const float* from = warpSums(shared, inRound, pair);
      if (!whole) {
        float x[kLaneRows];
        addWarps(from, x);
        writePartial(partial(slot, token) + group * kLaneRows, x);
      } else if (isStored(group)) {
        store(
            at, token, group, [&](bool up, float(&x)[kLaneRows]) { addWarps(from + (up ? kWarpSums : 0), x); },
            [&](bool up, int i) { return addWarps(from + (up ? kWarpSums : 0) + i); });
      }
    }
    const int from = first / p_.iterations_per_block, to = last / p_.iterations_per_block;
    if (!whole && arriveLast(tile, from, to, reinterpret_cast<int*>(shared))) addBlocks(at, first, from, to, tokens);
  }

 private:
  static constexpr int kStripGroups = kStripRows / kLaneRows;
  static constexpr int kWarpSums = 4 * T::kSumStride;  // floats of a warp in shared memory, so also from strip to strip

  /// Of rows g and g + 8.
  static constexpr float kEven = sumUnit<T>(0), kOdd = sumUnit<T>(1);

  /// The sums of the four tokens of the turn. The other sums move down, so that this code exists once.
  __device__ static void writeWarp(float* shared, Sums<T> (&sums)[T::kWarpStrips]) {
    const int warp = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes;
    const int slot = T::kRowParts == 1 ? warp : warp % T::kStrips, part = T::kRowParts == 1 ? 0 : warp / T::kStrips;
    float* to = shared + slot * kWarpSums + lane % 4 * T::kSumStride + lane / 4 * kLaneRows + part * 2 * T::kWarpTiles;
#pragma unroll
    for (int i = 0; i < T::kWarpTiles; i += 2)
      *reinterpret_cast<float4*>(to + 2 * i) = make_float4(kEven * sums[0][i][0][0], kOdd * sums[0][i][0][2],
                                                           kEven * sums[0][i + 1][0][0], kOdd * sums[0][i + 1][0][2]);
    constexpr int kTurns = T::kWarpStrips * T::kTokenTiles;
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn)
#pragma unroll
      for (int i = 0; i < T::kWarpTiles; ++i)
#pragma unroll
        for (int row = 0; row < 4; row += 2) {
          const int next = (turn + 1) % kTurns;
          float(&sum)[4] = sums[turn / T::kTokenTiles][i][turn % T::kTokenTiles];
          sum[row] = sum[row + 1];
          sum[row + 1] = turn + 1 < kTurns ? sums[next / T::kTokenTiles][i][next % T::kTokenTiles][row] : 0.0f;
        }
  }

  /// Sums of eight features of a token, of the first warp that has them.
  __device__ static const float* warpSums(const float* shared, int group, int pair) {
    return shared + group / kStripGroups * kWarpSums + pair * T::kSumStride + group % kStripGroups * kLaneRows;
  }

  /// Sums of the warps along k.
  __device__ static void addWarps(const float* from, float (&x)[kLaneRows]) {
    float more[kLaneRows];
#pragma unroll
    for (int depth = 0; depth < T::kSharing; ++depth) {
      loadEight(from + depth * T::kStrips * kWarpSums, PW_F32, 0, depth == 0 ? x : more);
      if (depth > 0)
#pragma unroll
        for (int i = 0; i < kLaneRows; ++i) x[i] += more[i];
    }
  }
  __device__ static float addWarps(const float* from) {
    float x = *from;
#pragma unroll
    for (int depth = 1; depth < T::kSharing; ++depth) x += from[depth * T::kStrips * kWarpSums];
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

  /// Do results come out of these eight features of the tile, or do they only go into others'?
  __device__ bool isStored(int group) const { return !p_.gated || group / kStripGroups % 2 == 0; }

  template <class Eight, class One>
  __device__ void store(const Cursor& at, int token, int group, const Eight& eight, const One& one) const {
    const int number = at.column * T::kStrips + group / kStripGroups;
    if (number >= strips_.count()) return;
    epilogue_.store(at.tokenBlock * T::kTokens + token, strips_[number] * kStripRows + group % kStripGroups * kLaneRows,
                    eight, one);
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
    constexpr int kGroups = T::kStrips * kStripGroups;
    for (int item = static_cast<int>(threadIdx.x); item < tokens * kGroups; item += T::kThreads) {
      const int group = item % kGroups, token = item / kGroups;
      if (!isStored(group)) continue;
      const auto share = [&](int block, bool up) {
        // Only the first block's share can begin the tile.
        const int slot = 2 * block + (first >= block * p_.iterations_per_block ? 1 : 0);
        return partial(slot, token) + group * kLaneRows + (up ? kStripRows : 0);
      };
      const auto eight = [&](bool up, float(&x)[kLaneRows]) {
#pragma unroll
        for (float& sum : x) sum = 0.0f;
#pragma unroll 1
        for (int block = from; block <= to; ++block) {
          const auto* vectors = reinterpret_cast<const float4*>(share(block, up));
          const float4 low = __ldcg(vectors), high = __ldcg(vectors + 1);
          x[0] += low.x, x[1] += low.y, x[2] += low.z, x[3] += low.w;
          x[4] += high.x, x[5] += high.y, x[6] += high.z, x[7] += high.w;
        }
      };
      const auto one = [&](bool up, int i) {
        float x = 0.0f;
#pragma unroll 1
        for (int block = from; block <= to; ++block) x += __ldcg(share(block, up) + i);
        return x;
      };
      store(at, token, group, eight, one);
    }
  }

  const pw_gpu_linear_packed_params& p_;
  const Strips& strips_;
  Epilogue epilogue_;
  int begin_, end_;
};

}  // namespace pw::gpu
