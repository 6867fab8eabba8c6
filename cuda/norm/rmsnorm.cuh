// SPDX-License-Identifier: Apache-2.0
/// @file A block's way through one row of an RMSNorm. The row is read once: its chunks stay in registers between the
/// sum of squares and the scaling, up to kHeld per thread; only longer rows are read again.
#pragma once
#include "common/reduce.cuh"
#include "common/rows.cuh"
#include "pagewarp/gpu/norm.h"

namespace pw {

/// The row of x, after residual += x the residual's, in chunks of N columns: a thread has those at first + c * step.
template <int N>
struct NormRow {
  static constexpr int kHeld = 4;

  Row x, residual, weight;
  int64_t dim, first, step;
  float held[kHeld][N];
  float scale;  ///< 1 / sqrt(mean of squares + eps)

  __device__ NormRow(const pw_gpu_rmsnorm_params& p, int index, float* warps)
      : x(rowAt(p.x, index)),
        residual(p.residual.data ? rowAt(p.residual, index) : Row{nullptr, 0}),
        weight(rowAt(p.weight, 0)),
        dim(p.dim),
        first(static_cast<int64_t>(threadIdx.x) * N),
        step(static_cast<int64_t>(blockDim.x) * N) {
    float sum = 0.0f;
#pragma unroll
    for (int c = 0; c < kHeld; ++c) {
      if (first + c * step >= dim) continue;
      take(first + c * step, held[c]);
      sum = squares(held[c], sum);
    }
    for (int64_t i = first + kHeld * step; i < dim; i += step) {
      float values[N];
      take(i, values);
      sum = squares(values, sum);
    }
    const float mean = reduceBlock(sum, Sum(), warps) / static_cast<float>(dim);
    scale = 1.0f / sqrtf(mean + p.eps);
  }

  /// A chunk that is not held, once it has been taken.
  __device__ void reload(int64_t i, float (&values)[N]) const { (residual.data ? residual : x).load(i, values); }

  /// The chunk's values become those of the result.
  __device__ void normalize(int64_t i, float (&values)[N]) const {
    float factors[N];
    weight.load(i, factors);
#pragma unroll
    for (int j = 0; j < N; ++j) values[j] = values[j] * scale * factors[j];
  }

 private:
  /// residual += x, rounded to the residual's type, which is what the norm sees; or x itself.
  __device__ void take(int64_t i, float (&values)[N]) const {
    x.load(i, values);
    if (!residual.data) return;
    float sum[N];
    residual.load(i, sum);
#pragma unroll
    for (int j = 0; j < N; ++j) values[j] = roundTo(residual.dtype, sum[j] + values[j]);
    residual.store(i, values);
  }

  __device__ static float squares(const float (&values)[N], float sum) {
#pragma unroll
    for (int j = 0; j < N; ++j) sum = fmaf(values[j], values[j], sum);
    return sum;
  }
};

}  // namespace pw
