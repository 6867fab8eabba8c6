// SPDX-License-Identifier: Apache-2.0
/// @file A distribution over the tokens of a row, and drawing from it.
///
/// **The draw**, as on the CPU: with u of the request's Philox counter, the first token in order of ids at which the
/// cumulative weight exceeds u times the total. Weights of 256 tokens are summed in f32 and such sums in f64, in a
/// fixed order; the walk goes over blocks first and then within one. So a token does not depend on the batch or on the
/// timing, and differs from the CPU's only where u lies within rounding of a boundary.
#pragma once
#include "sample/scan.cuh"

namespace pw {
namespace sampling {

/// No padding: see LogitsRow.
struct TargetDistribution {
  LogitsRow row;  ///< penalised logits
  RowRange range;
  float scale;    ///< 1 / temperature
  float cut;      ///< the support is the tokens above this logit,
  int cutToken;   ///< and those equal to it up to this token,
  float ceiling;  ///< if they are not above this one (+inf but while equal logits are counted)
  int only;       ///< the single token of the support, or -1
  int unused;
  double total;   ///< sum of the weights e^((logit - max) / T) of the support
  double moment;  ///< sum of the same times logit - max; NaN: unknown
  float* sums;    ///< the same by blocks, in global memory; undefined when there is only one token

  __device__ bool supports(float logit, int token) const {
    return (logit > cut || (logit == cut && token <= cutToken)) && logit <= ceiling;
  }

  /// e^((x - max) / T)
  __device__ float weightOf(float x) const { return weightOfExponent((x - range.max) * scale); }
  /// This lane's weights of a block.
  __device__ void weigh(int block, float (&w)[kPerLane]) const {
    float x[kPerLane];
    row.load(block, x);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) w[j] = supports(x[j], block * kBlock + placeInBlock(j)) ? weightOf(x[j]) : 0.0f;
  }
  __device__ __noinline__ double probability(int token) const {
    if (only >= 0) return token == only ? 1.0 : 0.0;
    const float x = row[token] + 0.0f;
    return supports(x, token) ? weightOf(x) / total : 0.0;
  }
  /// Moves the cut up to a prefix's last member; a lower one changes nothing.
  __device__ void raiseCut(float logit, int token) {
    if (logit < cut || (logit == cut && token >= cutToken)) return;
    cut = logit;
    cutToken = token;
  }
  __device__ void keepFirst() {
    only = cutToken = range.first;
    cut = range.max;
    total = 1;
    moment = 0;
  }
};

/// Where a running sum passes `left`, over items 0 to count: the first item i with left - (sum of the items before it)
/// < weight(i), or <= with kReaches. When the sum never gets there, the last item with a weight, and `rest` is
/// infinite.
struct Crossing {
  int index;    ///< -1: no item has a weight
  double rest;  ///< left less the sum of the items before
};

/// By one whole warp; each lane takes neighbouring items.
template <bool kReaches, class Weight>
__device__ Crossing findCrossing(int count, double left, Weight&& weight) {
  const int each = (count + kWarp - 1) / kWarp, begin = laneIndex() * each, end = min(begin + each, count);
  double own = 0;
  for (int i = begin; i < end; ++i) own += weight(i);
  double before = own;  // inclusive sum over lanes
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const double other = __shfl_up_sync(kAllLanes, before, distance);
    if (laneIndex() >= distance) before += other;
  }
  double rest = left - (before - own), restThere = CUDART_INF;
  int found = INT_MAX, last = -1;
  for (int i = begin; i < end && found == INT_MAX; ++i) {
    const double w = weight(i);
    if (!(w > 0)) continue;
    last = i;
    if (kReaches ? rest <= w : rest < w) {
      found = i;
      restThere = rest;
    } else {
      rest -= w;
    }
  }
  const int index = reduceWarp(found, [](int a, int b) { return a < b ? a : b; });
  if (index == INT_MAX) return {reduceWarp(last, Maximum()), CUDART_INF};
  const int lane = __ffs(__ballot_sync(kAllLanes, found == index)) - 1;
  return {index, __shfl_sync(kAllLanes, restThere, lane)};
}

/// Sum of weigh(block, float (&w)[kPerLane]) into global memory, by one whole warp.
template <class Weigh>
__device__ void sumBlock(int block, float* sums, Weigh&& weigh) {
  float w[kPerLane], sum = 0.0f;
  weigh(block, w);
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) sum += w[j];
  sum = reduceWarp(sum, Sum());
  if (laneIndex() == 0) sums[block] = sum;
}

/// The same for all blocks, and the sum of these.
template <class Weigh>
__device__ double sumBlocks(int blocks, float* sums, Weigh&& weigh, Shared& shared) {
  for (int b = warpIndex(); b < blocks; b += warpCount()) sumBlock(b, sums, weigh);
  __syncthreads();
  return sumOfSums(blocks, sums, shared);
}

/// Inverse transform sampling in order of tokens, from weights whose sums by blocks are known.
/// @param left the uniform number times the total
/// @returns a token; -1 when there is no weight at all
template <class Weigh>
__device__ int drawFromBlocks(int blocks, const float* sums, double left, Weigh&& weigh, Shared& shared) {
  if (warpIndex() == 0) {
    const Crossing block = findCrossing<false>(blocks, left, [&](int b) { return static_cast<double>(sums[b]); });
    int token = -1;
    if (block.index >= 0) {
      float w[kPerLane];
      weigh(block.index, w);
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) shared.inOrder[placeInBlock(j)] = w[j];
      __syncwarp();
      const Crossing place =
          findCrossing<false>(kBlock, block.rest, [&](int i) { return static_cast<double>(shared.inOrder[i]); });
      token = block.index * kBlock + place.index;
    }
    if (laneIndex() == 0) shared.index = token;
  }
  __syncthreads();
  const int token = shared.index;
  __syncthreads();
  return token;
}

/// Sums the weights by another reading.
__device__ __noinline__ inline void normalize(TargetDistribution& d, Shared& shared) {
  d.moment = CUDART_NAN;
  d.total = sumBlocks(
      d.row.blocks(), d.sums, [&](int block, float(&w)[kPerLane]) { d.weigh(block, w); }, shared);
}

/// The token of the support at which the cumulative weight exceeds `left`. After normalize().
__device__ __noinline__ inline int drawAt(const TargetDistribution& d, double left, Shared& shared) {
  return drawFromBlocks(
      d.row.blocks(), d.sums, left, [&](int block, float(&w)[kPerLane]) { d.weigh(block, w); }, shared);
}

__device__ inline int draw(const TargetDistribution& d, double uniform, Shared& shared) {
  return d.only >= 0 ? d.only : drawAt(d, uniform * d.total, shared);
}

}  // namespace sampling
}  // namespace pw
