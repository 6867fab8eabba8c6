// SPDX-License-Identifier: Apache-2.0
/// @file One reading of a row: its range, its weights summed online (Milakov and Gimelshein, 2018), each block's
/// relative to its own largest logit until the row's is known, and what else is wanted of all its logits.
///
/// Everything here and in the files that build on it is called by all threads of a block, whose number is a multiple of
/// 32 and at most 512, with the same arguments, and returns the same to all.
#pragma once
#include "sample/list.cuh"

namespace pw {
namespace sampling {

/// No padding: see LogitsRow.
struct RowRange {
  float max, min;  ///< of the finite logits
  int first;       ///< the first token in the total order
  int finite;      ///< finite logits
  int valid;       ///< no NaN, no +inf, some finite logit
  int listed;      ///< so many first tokens are in shared.ranks
  double weight;   ///< sum of e^((x - max) scale)
  double moment;   ///< sum of the same times x - max; NaN when it was not wanted
};

/// What a reading is to find out beside the range.
struct Wanted {
  float scale;  ///< 1 / temperature, for the weights; 0: none
  int listed;   ///< so many of the first tokens; 0: none
  bool moment;
};

/// e^x, 0 below e^-87 as on the CPU.
__device__ inline float weightOfExponent(float x) { return x < -87.0f ? 0.0f : expf(x); }

/// Sums over logits as they come by, relative to the largest so far.
struct OnlineSums {
  float max = -CUDART_INF_F;
  float weight = 0.0f;  ///< of e^((x - max) scale)
  float moment = 0.0f;  ///< of the same times x - max

  __device__ void raise(float to, float scale) {
    if (!(to > max)) return;
    if (max > -CUDART_INF_F) {
      const float shrink = weightOfExponent((max - to) * scale);
      moment = shrink * (moment + weight * (max - to));
      weight *= shrink;
    }
    max = to;
  }
  __device__ void take(const float (&x)[kPerLane], float scale) {
    float top = x[0];
#pragma unroll
    for (int j = 1; j < kPerLane; ++j) top = fmaxf(top, x[j]);
    raise(top, scale);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      if (!(x[j] > -CUDART_INF_F)) continue;
      const float w = weightOfExponent((x[j] - max) * scale);
      weight += w;
      moment += w * (x[j] - max);
    }
  }
  __device__ void join(OnlineSums other, float scale) {
    raise(other.max, scale);
    other.raise(max, scale);
    weight += other.weight;
    moment += other.moment;
  }
};

/// Over all threads, in an order that depends on their number only.
__device__ inline OnlineSums reduceBlock(OnlineSums sums, float scale, Shared& shared) {
#pragma unroll
  for (int lane = kWarp / 2; lane > 0; lane /= 2) {
    OnlineSums other;
    other.max = __shfl_xor_sync(kAllLanes, sums.max, lane);
    other.weight = __shfl_xor_sync(kAllLanes, sums.weight, lane);
    other.moment = __shfl_xor_sync(kAllLanes, sums.moment, lane);
    sums.join(other, scale);
  }
  __syncthreads();
  if (laneIndex() == 0) {
    float(&own)[3] = shared.weights[warpIndex()];
    own[0] = sums.max;
    own[1] = sums.weight;
    own[2] = sums.moment;
  }
  __syncthreads();
  OnlineSums all;
  for (int w = 0; w < warpCount(); ++w) {
    OnlineSums other;
    other.max = shared.weights[w][0];
    other.weight = shared.weights[w][1];
    other.moment = shared.weights[w][2];
    all.join(other, scale);
  }
  __syncthreads();
  return all;
}

/// Sum of one f32 per block of tokens, by all threads.
__device__ inline double sumOfSums(int blocks, const float* sums, Shared& shared) {
  if (warpIndex() == 0) {
    double total = 0;
    for (int b = laneIndex(); b < blocks; b += kWarp) total += sums[b];
    total = reduceWarp(total, Sum());
    if (laneIndex() == 0) shared.left = total;
  }
  __syncthreads();
  const double total = shared.left;
  __syncthreads();
  return total;
}

/// The range of what all threads have seen.
__device__ inline RowRange rangeOf(Scan scan, Shared& shared) {
  scan.best = reduceWarp(scan.best, Maximum());
  scan.low = -reduceWarp(-scan.low, Maximum());
  scan.finite = reduceWarp(scan.finite, Sum());
  const bool bad = __any_sync(kAllLanes, scan.bad);
  __syncthreads();
  if (laneIndex() == 0) {
    shared.best[warpIndex()] = scan.best;
    shared.low[warpIndex()] = scan.low;
    shared.finite[warpIndex()] = scan.finite;
    shared.bad[warpIndex()] = bad;
  }
  __syncthreads();
  uint64_t best = 0;
  RowRange range{0.0f, CUDART_INF_F, 0, 0, 1, 0, 0.0, CUDART_NAN};
  for (int w = 0; w < warpCount(); ++w) {
    best = Maximum()(best, shared.best[w]);
    range.min = fminf(range.min, shared.low[w]);
    range.finite += shared.finite[w];
    range.valid = range.valid && !shared.bad[w];
  }
  range.valid = range.valid && range.finite > 0;
  range.max = logitOfRank(best);
  range.first = tokenOfRank(best);
  return range;
}

/// Reads a row once.
/// @param sums memory for two numbers per block: the weights' sums, and scratch
/// @param logSumExp of the logits as given, when it is wanted
__device__ __noinline__ inline RowRange scanRow(const LogitsRow& row, const Wanted& wanted, float* sums,
                                                double* logSumExp, Shared& shared) {
  const int blocks = row.blocks();
  const float scale = wanted.scale;
  const bool apart = logSumExp && (scale != 1.0f || row.changed);  // not what is summed for the weights
  float* tops = sums + blocks;  // each block's largest logit, which its sum is relative to at first
  Scan scan;
  OnlineSums own, given;
  CandidateList list(wanted.listed, shared);
  for (int first = 0; first < blocks; first += warpCount()) {
    const int b = first + warpIndex();
    float x[kPerLane];
    row.loadGiven(b, x);  // -inf beyond the row
    if (apart) given.take(x, 1.0f);
    if (row.changed && b < blocks) row.amend(b, x);
    scan.take(x, b);
    if (wanted.listed > 0) list.take(x, b);
    if (scale == 0.0f) continue;
    if (wanted.moment) own.take(x, scale);
    float top = -CUDART_INF_F, sum = 0.0f;
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) top = fmaxf(top, x[j]);
    top = reduceWarp(top, Maximum());
    if (top > -CUDART_INF_F) {
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) sum += weightOfExponent((x[j] - top) * scale);
    }
    sum = reduceWarp(sum, Sum());
    if (laneIndex() == 0 && b < blocks) {
      sums[b] = sum;
      tops[b] = top;
    }
  }
  RowRange range = rangeOf(scan, shared);
  if (wanted.listed > 0) range.listed = list.finish();
  if (apart) {
    given = reduceBlock(given, 1.0f, shared);
    *logSumExp = given.max + log(static_cast<double>(given.weight));
  }
  if (scale == 0.0f || !range.valid) return range;
  if (wanted.moment) range.moment = reduceBlock(own, scale, shared).moment;
  // A block whose largest weight is 0 has none at all, as for those who weigh its tokens one by one.
  for (int b = static_cast<int>(threadIdx.x); b < blocks; b += static_cast<int>(blockDim.x))
    sums[b] *= weightOfExponent((tops[b] - range.max) * scale);
  __syncthreads();
  range.weight = sumOfSums(blocks, sums, shared);
  if (logSumExp && !apart) *logSumExp = range.max + log(range.weight);
  return range;
}

}  // namespace sampling
}  // namespace pw
