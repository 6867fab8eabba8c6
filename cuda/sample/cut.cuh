// SPDX-License-Identifier: Apache-2.0
/// @file The filters by further readings of a row: where a prefix of the total order ends that has so many tokens, or
/// so much weight. Nothing is sorted but some thousand candidates around the cut.
#pragma once
#include "sample/draw.cuh"

namespace pw {
namespace sampling {

/// Leaves in shared.above the weight (or, byWeight false, the number) of the tokens above each of three rising logits.
__device__ __noinline__ inline void measureAbove(const TargetDistribution& d, bool byWeight, const float (&logits)[3],
                                                 Shared& shared) {
  float weight[3] = {};
  int count[3] = {};
  for (int b = warpIndex(); b < d.row.blocks(); b += warpCount()) {
    float x[kPerLane];
    d.row.load(b, x);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      if (!(x[j] > logits[0])) continue;
      const float w = byWeight ? d.weightOf(x[j]) : 0.0f;
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        if (!(x[j] > logits[i])) continue;
        weight[i] += w;
        ++count[i];
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    weight[i] = reduceWarp(weight[i], Sum());
    count[i] = reduceWarp(count[i], Sum());
    if (laneIndex() != 0) continue;
    shared.weights[warpIndex()][i] = weight[i];
    shared.counts[warpIndex()][i] = count[i];
  }
  __syncthreads();
  if (threadIdx.x < 3) {
    double sum = 0;
    int total = 0;
    for (int w = 0; w < warpCount(); ++w) {
      sum += shared.weights[w][threadIdx.x];
      total += shared.counts[w][threadIdx.x];
    }
    shared.above.weight[threadIdx.x] = byWeight ? sum : total;
    shared.above.count[threadIdx.x] = total;
  }
  __syncthreads();
}

/// Puts the ranks of the tokens of the support with logits in (low, high] into shared.ranks, in the total order.
/// @returns how many; there must not be more than kCandidates
__device__ __noinline__ inline int collect(const TargetDistribution& d, float low, float high, Shared& shared) {
  __syncthreads();
  if (threadIdx.x == 0) shared.count = 0;
  __syncthreads();
  for (int b = warpIndex(); b < d.row.blocks(); b += warpCount()) {
    float x[kPerLane];
    d.row.load(b, x);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      const int token = b * kBlock + placeInBlock(j);
      if (!(x[j] > low && x[j] <= high && d.supports(x[j], token))) continue;
      const int at = atomicAdd(&shared.count, 1);
      if (at < kCandidates) shared.ranks[at] = rankOf(x[j], token);
    }
  }
  __syncthreads();
  const int count = min(shared.count, kCandidates);
  sortRanks(count, shared);
  return count;
}

/// The next f32 below a finite x.
__device__ inline float nextBelow(float x) { return x == 0.0f ? -1.40129846e-45f : fromOrder(orderOf(x) - 1); }

/// Three logits in rising order strictly between low and high, which are not neighbours; the first is low itself with
/// `withLow`. Evenly spaced, or evenly among the floats where that leaves no room or low is not finite.
__device__ inline void choosePivots(float low, float high, bool withLow, float (&pivots)[3]) {
  const int parts = withLow ? 3 : 4, first = withLow ? 0 : 1;
  const uint32_t start = orderOf(low), span = orderOf(high) - start;
  const double step = (static_cast<double>(high) - low) / parts;
  for (int j = 0; j < 3; ++j) {
    if (j + first == 0) {
      pivots[j] = low;
      continue;
    }
    pivots[j] = static_cast<float>(low + step * (j + first));
    if (pivots[j] > low && pivots[j] < high) continue;
    const auto offset = static_cast<uint32_t>(static_cast<uint64_t>(span) * (j + first) / parts);
    pivots[j] = fromOrder(start + min(max(offset, 1u), span - 1));
  }
}

/// Cuts to the shortest prefix of the total order with at least `target` of weight, or (byWeight false) of tokens.
/// @param low a logit such that the tokens above it surely suffice
__device__ __noinline__ inline void cutPrefix(TargetDistribution& d, bool byWeight, double target, float low,
                                              Shared& shared) {
  float high = d.range.max;  // weight above low >= target > weight above high
  double passed = 0;         // weight and number of the tokens above high
  int countHigh = 0, inside = d.row.size;
  for (bool first = true; inside > kCandidates; first = false) {
    if (orderOf(high) - orderOf(low) <= 1) break;  // equal logits, all of them
    float pivots[3];
    choosePivots(low, high, first, pivots);  // the first pass also counts what lies above low
    measureAbove(d, byWeight, pivots, shared);
    const Above& above = shared.above;
    int countLow = countHigh + inside;
    for (int j = 0; j < 3; ++j) {
      if (above.weight[j] >= target || (first && j == 0)) {
        low = pivots[j];
        countLow = above.count[j];
      } else {
        high = pivots[j];
        passed = above.weight[j];
        countHigh = above.count[j];
        break;
      }
    }
    inside = countLow - countHigh;
  }
  if (inside > kCandidates) {
    // More equal logits than can be listed: the first of them by id, as many as it takes.
    const float each = byWeight ? d.weightOf(high) : 1.0f;
    const double wanted = each > 0.0f ? ceil((target - passed) / each) : 1.0;
    TargetDistribution equal = d;
    equal.raiseCut(high, d.row.size);
    equal.ceiling = high;
    equal.scale = 0.0f;  // all weigh 1
    normalize(equal, shared);
    const int token = drawAt(equal, wanted < 1.0 ? 0.0 : wanted - 1.0, shared);
    if (token >= 0) d.raiseCut(high, token);
    return;
  }
  const int count = collect(d, low, high, shared);
  if (count == 0) return;
  if (warpIndex() == 0) {
    const Crossing last = findCrossing<true>(count, target - passed, [&](int i) {
      return byWeight ? static_cast<double>(d.weightOf(logitOfRank(shared.ranks[i]))) : 1.0;
    });
    // Short of the target by rounding, the prefix ends with the last candidate.
    if (laneIndex() == 0) shared.index = last.rest < CUDART_INF ? last.index : count - 1;
  }
  __syncthreads();
  const uint64_t rank = shared.ranks[shared.index];
  __syncthreads();
  d.raiseCut(logitOfRank(rank), tokenOfRank(rank));
}

/// A logit below all finite ones.
__device__ inline float belowAll(const RowRange& range) { return nextBelow(range.min); }

/// Cuts to the shortest prefix with `share` of the support's weight, more than the first token's.
__device__ inline void cutByWeight(TargetDistribution& d, float share, Shared& shared) {
  // All tokens lighter than (1 - share) total / size together weigh less than what may be missing.
  const double lightest = log((1.0 - share) * d.total / d.row.size) / d.scale + d.range.max;
  const double slack = 1e-5 * (fabs(lightest) + fabs(static_cast<double>(d.range.max))) + 1e-3 / d.scale;
  float low = static_cast<float>(lightest - slack);
  if (!(low > belowAll(d.range))) low = belowAll(d.range);
  if (d.cut >= d.range.min && low < nextBelow(d.cut)) low = nextBelow(d.cut);
  cutPrefix(d, true, share * d.total, low, shared);
}

}  // namespace sampling
}  // namespace pw
