// SPDX-License-Identifier: Apache-2.0
/// @file One pass over a row: its range, and its weights summed online (Milakov and Gimelshein, 2018), each block's
/// relative to its own largest logit until the row's is known.
///
/// Everything here and in the files that build on it is called by all threads of a block, whose number is a multiple of
/// 32 and at most 512, with the same arguments, and returns the same to all.
#pragma once
#include "sample/request.cuh"

namespace pw {
namespace sampling {

constexpr int kCandidates = 2048;  ///< that are told apart exactly; more than PW_GPU_SAMPLE_MOST_TOP

/// Weight and number of the tokens above each of three logits.
struct Above {
  double weight[3];
  int count[3];
};

struct Shared {
  uint64_t ranks[kCandidates];
  float inOrder[kBlock];  ///< weights of one block of tokens
  float weights[kWarp][3];
  int counts[kWarp][3];
  Above above;
  uint64_t best[kWarp];
  float low[kWarp];
  int finite[kWarp], bad[kWarp];
  double left;
  int count, index;
};

/// No padding: see LogitsRow.
struct RowRange {
  float max, min;  ///< of the finite logits
  int first;       ///< the first token in the total order
  int finite;      ///< finite logits
  int valid;       ///< no NaN, no +inf, some finite logit
  int unused;
  double weight;  ///< sum of e^((x - max) scale), with the scale of the scan
};

/// e^x, 0 below e^-87 as on the CPU.
__device__ inline float weightOfExponent(float x) { return x < -87.0f ? 0.0f : expf(x); }

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

/// Looks at a row and sums its weights e^((x - max) scale) by blocks, in one pass.
/// @param scale 1 / temperature; 0: no weights are wanted
/// @param sums memory for two numbers per block: the sums, and scratch
__device__ __noinline__ inline RowRange scanRow(const LogitsRow& row, float scale, float* sums, Shared& shared) {
  const int blocks = row.blocks();
  float* tops = sums + blocks;  // each block's largest logit, which its sum is relative to at first
  Scan scan;
  for (int b = warpIndex(); b < blocks; b += warpCount()) {
    float x[kPerLane];
    row.load(b, x);
    scan.take(x, b);
    if (scale == 0.0f) continue;
    float top = -CUDART_INF_F, sum = 0.0f;
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) top = fmaxf(top, x[j]);
    top = reduceWarp(top, Maximum());
    if (top > -CUDART_INF_F) {
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) sum += weightOfExponent((x[j] - top) * scale);
    }
    sum = reduceWarp(sum, Sum());
    if (laneIndex() != 0) continue;
    sums[b] = sum;
    tops[b] = top;
  }
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
  RowRange range{0.0f, CUDART_INF_F, 0, 0, 1, 0, 0.0};
  for (int w = 0; w < warpCount(); ++w) {
    best = Maximum()(best, shared.best[w]);
    range.min = fminf(range.min, shared.low[w]);
    range.finite += shared.finite[w];
    range.valid = range.valid && !shared.bad[w];
  }
  range.valid = range.valid && range.finite > 0;
  range.max = logitOfRank(best);
  range.first = tokenOfRank(best);
  if (scale == 0.0f || !range.valid) return range;
  // A block whose largest weight is 0 has none at all, as for those who weigh its tokens one by one.
  for (int b = static_cast<int>(threadIdx.x); b < blocks; b += static_cast<int>(blockDim.x))
    sums[b] *= weightOfExponent((tops[b] - range.max) * scale);
  __syncthreads();
  range.weight = sumOfSums(blocks, sums, shared);
  return range;
}

}  // namespace sampling
}  // namespace pw
