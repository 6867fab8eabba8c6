// SPDX-License-Identifier: Apache-2.0
/// @file The filters without a further reading of the row: a support that is a prefix of the tokens that were listed
/// when it was read (list.cuh).
#pragma once
#include "sample/draw.cuh"

namespace pw {
namespace sampling {

/// Moves the cut to the last of the first `count` listed tokens.
__device__ inline void cutListed(TargetDistribution& d, int count, const Shared& shared) {
  const uint64_t last = shared.ranks[count - 1];
  d.raiseCut(logitOfRank(last), tokenOfRank(last));
}

/// The shortest prefix of the first `count` listed tokens with at least `target` of weight; 0 when there is none.
__device__ __noinline__ inline int prefixOfListed(const TargetDistribution& d, int count, double target,
                                                  Shared& shared) {
  if (warpIndex() == 0) {
    const Crossing last = findCrossing<true>(
        count, target, [&](int i) { return static_cast<double>(d.weightOf(logitOfRank(shared.ranks[i]))); });
    if (laneIndex() == 0) shared.index = last.rest < CUDART_INF ? last.index + 1 : 0;
  }
  __syncthreads();
  const int length = shared.index;
  __syncthreads();
  return length;
}

/// How many of the first `count` listed tokens the support has.
__device__ inline int supportedOfListed(const TargetDistribution& d, int count, const Shared& shared) {
  int supported = 0;
  for (int first = 0; first < count; first += static_cast<int>(blockDim.x)) {
    const int i = first + static_cast<int>(threadIdx.x);
    const uint64_t rank = i < count ? shared.ranks[i] : 0;
    supported += __syncthreads_count(i < count && d.supports(logitOfRank(rank), tokenOfRank(rank)));
  }
  return supported;
}

/// Sums the weights of the support, which is the first `count` listed tokens.
__device__ __noinline__ inline void sumListed(TargetDistribution& d, int count, Shared& shared) {
  const int blocks = d.row.blocks();
  for (int b = static_cast<int>(threadIdx.x); b < blocks; b += static_cast<int>(blockDim.x)) {
    float sum = 0.0f;
    for (int i = 0; i < count; ++i) {
      const uint64_t rank = shared.ranks[i];
      if (tokenOfRank(rank) / kBlock == b) sum += d.weightOf(logitOfRank(rank));
    }
    d.sums[b] = sum;
  }
  if (warpIndex() == 0) {
    double moment = 0.0;
    for (int i = laneIndex(); i < count; i += kWarp) {
      const float x = logitOfRank(shared.ranks[i]);
      moment += d.weightOf(x) * (x - d.range.max);
    }
    moment = reduceWarp(moment, Sum());
    if (laneIndex() == 0) shared.left = moment;
  }
  __syncthreads();
  d.moment = shared.left;
  __syncthreads();
  d.total = sumOfSums(blocks, d.sums, shared);
}

}  // namespace sampling
}  // namespace pw
