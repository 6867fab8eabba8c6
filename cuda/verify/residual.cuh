// SPDX-License-Identifier: Apache-2.0
/// @file What is left of the target's distribution when drafted tokens were rejected; as on the CPU
/// (csrc/cpu/verify/residual.inl), never materialised. Called by whole thread blocks, like the distributions.
#pragma once
#include "pagewarp/gpu/verify.h"
#include "sample/distribution.cuh"

namespace pw {
namespace sampling {

/// The request's uniform number for one use at one offset, and there for one of several rounds.
__device__ inline double uniformOf(const Request& request, pw_draw use, int64_t offset, int64_t round) {
  const uint64_t stream = static_cast<uint64_t>(round) << 32 | static_cast<uint64_t>(use);
  const pw_philox4 words = pw_philox(request.seed, stream, static_cast<uint64_t>(offset));
  return pw_uniform_f64(words.x, words.y);
}

/// Weights keep p(x) - take min(q(x), cap p(x)), where that is positive, but 0 for some tokens.
struct Residual {
  const TargetDistribution* p;
  const TargetDistribution* q;  ///< null: only tokens are taken away
  float keep, take, cap;        ///< cap +inf: q alone
  const int32_t* rejected;
  int rejectedCount;

  __device__ void weigh(int block, float (&w)[kPerLane]) const {
    p->weigh(block, w);
    if (q && take > 0.0f) {
      float other[kPerLane];
      q->weigh(block, other);
      const float a = static_cast<float>(1.0 / p->total), b = static_cast<float>(1.0 / q->total);
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) {
        const float mine = w[j] * a;
        float taken = other[j] * b;
        if (cap < CUDART_INF_F) taken = fminf(taken, mine * cap);
        w[j] = fmaxf(keep * mine - take * taken, 0.0f);
      }
    }
    for (int n = 0; n < rejectedCount; ++n) {
      const int place = rejected[n] - block * kBlock;
#pragma unroll
      for (int j = 0; j < kPerLane; ++j)
        if (place == placeInBlock(j)) w[j] = 0.0f;
    }
  }
};

/// Sum of the weights; by blocks in `sums`. Reads both rows, or where only tokens are taken away their blocks.
__device__ __noinline__ inline double sumResidual(const Residual& r, float* sums, Shared& shared) {
  const int blocks = r.p->row.blocks();
  const auto weigh = [&](int block, float(&w)[kPerLane]) { r.weigh(block, w); };
  if (r.q && r.take > 0.0f) return sumBlocks(blocks, sums, weigh, shared);
  for (int b = static_cast<int>(threadIdx.x); b < blocks; b += static_cast<int>(blockDim.x)) sums[b] = r.p->sums[b];
  __syncthreads();
  for (int n = warpIndex(); n < r.rejectedCount; n += warpCount()) {
    const int block = r.rejected[n] / kBlock;
    bool isDone = false;
    for (int before = 0; before < n; ++before) isDone = isDone || r.rejected[before] / kBlock == block;
    if (!isDone) sumBlock(block, sums, weigh);
  }
  __syncthreads();
  return sumOfSums(blocks, sums, shared);
}

/// Draws a token from the residual whose sums these are; from p when it is empty, which means p = q up to rounding.
__device__ __noinline__ inline int drawResidual(const Residual& r, const float* sums, double total, double uniform,
                                                Shared& shared) {
  if (!(total > 0)) return draw(*r.p, uniform, shared);
  return drawFromBlocks(
      r.p->row.blocks(), sums, uniform * total, [&](int block, float(&w)[kPerLane]) { r.weigh(block, w); }, shared);
}

/// Entropy in nats: another reading where further ones were needed for the distribution.
__device__ __noinline__ inline double entropyOf(const TargetDistribution& d, float* sums, Shared& shared) {
  if (d.only >= 0) return 0.0;
  if (!isnan(d.moment)) return log(d.total) - d.moment * d.scale / d.total;
  const auto weigh = [&](int block, float(&w)[kPerLane]) {
    float x[kPerLane];
    d.row.load(block, x);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      const float weight = d.supports(x[j], block * kBlock + placeInBlock(j)) ? d.weightOf(x[j]) : 0.0f;
      w[j] = weight > 0.0f ? weight * (x[j] - d.range.max) : 0.0f;
    }
  };
  return log(d.total) - sumBlocks(d.row.blocks(), sums, weigh, shared) * d.scale / d.total;
}

}  // namespace sampling
}  // namespace pw
