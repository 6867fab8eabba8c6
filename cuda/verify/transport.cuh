// SPDX-License-Identifier: Apache-2.0
/// @file The ratio of k-SEQ, in one pass over two rows.
///
/// b(rho) = sum of min(q(x), p(x) / rho) needs the masses of p and q on either side of p(x) = rho q(x) only. So one
/// pass puts the tokens into steps by log(p(x) / q(x)), between 0 and log k, and at the bounds of the steps b is known:
/// the least of these that leaves a residual is taken, at most a 2,048th part of log k above the least ratio of all.
/// Any ratio that leaves a residual is lossless; a larger one accepts a little less.
///
/// Masses are summed as integers, parts of 2^31, so that the order of the additions does not matter.
#pragma once
#include "verify/residual.cuh"

namespace pw {
namespace sampling {

struct Transport {
  double ratio;
  double one;  ///< b(ratio): the chance that one candidate is accepted
};

constexpr int kSteps = kCandidates;  ///< two u32 each lie where candidates are sorted otherwise

__device__ inline uint32_t massOf(float probability) { return __float2uint_rn(probability * 2147483648.0f); }
/// The chance that some candidate is accepted when each is with chance `one`.
__device__ inline double someOf(double one, double candidates) { return 1.0 - pow(1.0 - fmin(one, 1.0), candidates); }

/// @param candidates k, above 1
__device__ __noinline__ inline Transport solveTransport(const TargetDistribution& p, const TargetDistribution& q,
                                                        int candidates, Shared& shared) {
  auto* ofTarget = reinterpret_cast<uint32_t*>(shared.ranks);
  uint32_t* ofDraft = ofTarget + kSteps;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < 2 * kSteps; i += static_cast<int>(blockDim.x)) ofTarget[i] = 0;
  __syncthreads();
  const float a = static_cast<float>(1.0 / p.total), b = static_cast<float>(1.0 / q.total);
  const float most = static_cast<float>(candidates), perStep = kSteps / logf(most);
  uint32_t light = 0, heavy = 0;  // p where the ratio is below 1, q where it is above k
  for (int block = warpIndex(); block < p.row.blocks(); block += warpCount()) {
    float mine[kPerLane], other[kPerLane];
    p.weigh(block, mine);
    q.weigh(block, other);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      const float x = mine[j] * a, y = other[j] * b;
      if (x < y) {
        light += massOf(x);
      } else if (x >= most * y) {
        heavy += massOf(y);
      } else {
        const int step = min(static_cast<int>(logf(__fdiv_rn(x, y)) * perStep), kSteps - 1);
        atomicAdd(&ofTarget[step], massOf(x));
        atomicAdd(&ofDraft[step], massOf(y));
      }
    }
  }
  light = reduceWarp(light, Sum());
  heavy = reduceWarp(heavy, Sum());
  if (laneIndex() == 0) {
    shared.counts[warpIndex()][0] = static_cast<int>(light);
    shared.counts[warpIndex()][1] = static_cast<int>(heavy);
  }
  __syncthreads();
  if (warpIndex() == 0) {
    light = heavy = 0;
    for (int w = 0; w < warpCount(); ++w) {
      light += static_cast<uint32_t>(shared.counts[w][0]);
      heavy += static_cast<uint32_t>(shared.counts[w][1]);
    }
    const double perRatio = log(static_cast<double>(candidates)) / kSteps;
    const auto ratioAt = [&](int step) { return exp(step * perRatio); };
    const auto chanceAt = [&](int step) {
      uint32_t below = 0, above = 0;
      for (int i = laneIndex(); i < kSteps; i += kWarp) {
        below += i < step ? ofTarget[i] : 0;
        above += i < step ? 0 : ofDraft[i];
      }
      below = reduceWarp(below, Sum()) + light;
      above = reduceWarp(above, Sum()) + heavy;
      return (above + below / ratioAt(step)) / 2147483648.0;
    };
    int low = -1, high = kSteps;  // at k itself a residual is left in any case
    while (high - low > 1) {
      const int middle = low < 0 ? 0 : (low + high) / 2;
      const double one = chanceAt(middle);
      if (someOf(one, candidates) <= ratioAt(middle) * one * (1.0 + 1e-7))
        high = middle;
      else
        low = middle;
    }
    const double one = chanceAt(high);
    if (laneIndex() == 0) {
      shared.index = high;
      shared.left = one;
    }
  }
  __syncthreads();
  const Transport found{exp(shared.index * log(static_cast<double>(candidates)) / kSteps), shared.left};
  __syncthreads();
  return found;
}

}  // namespace sampling
}  // namespace pw
