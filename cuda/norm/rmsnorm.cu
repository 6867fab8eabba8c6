// SPDX-License-Identifier: Apache-2.0
/// @file RMSNorm with the residual addition before it, one block per row. A row is read once: its chunks stay in
/// registers between the sum of squares and the scaling, up to kHeld per thread; only longer rows are read again.
#include "common/reduce.cuh"
#include "common/rows.cuh"
#include "pagewarp/gpu/norm.h"

namespace pw {
namespace {

constexpr int kHeld = 4;

/// residual += x, rounded to the residual's type, which is what the norm sees; or x itself.
template <int N>
__device__ void takeChunk(const Row& x, const Row& residual, int64_t i, float (&values)[N]) {
  x.load(i, values);
  if (!residual.data) return;
  float sum[N];
  residual.load(i, sum);
#pragma unroll
  for (int j = 0; j < N; ++j) values[j] = roundTo(residual.dtype, sum[j] + values[j]);
  residual.store(i, values);
}

template <int N>
__device__ void scaleChunk(const Row& weight, const Row& out, float scale, int64_t i, float (&values)[N]) {
  float factors[N];
  weight.load(i, factors);
#pragma unroll
  for (int j = 0; j < N; ++j) values[j] = values[j] * scale * factors[j];
  out.store(i, values);
}

template <int N>
__device__ float squares(const float (&values)[N], float sum) {
#pragma unroll
  for (int j = 0; j < N; ++j) sum = fmaf(values[j], values[j], sum);
  return sum;
}

template <int N>
__device__ void rmsNorm(const pw_gpu_rmsnorm_params& p) {
  __shared__ float warps[kWarp];
  const int index = static_cast<int>(blockIdx.x);
  const Row x = rowAt(p.x, index), out = rowAt(p.out, index), weight = rowAt(p.weight, 0);
  const Row residual = p.residual.data ? rowAt(p.residual, index) : Row{nullptr, 0};
  const int64_t first = static_cast<int64_t>(threadIdx.x) * N, step = static_cast<int64_t>(blockDim.x) * N;
  float held[kHeld][N], sum = 0.0f;
#pragma unroll
  for (int c = 0; c < kHeld; ++c) {
    if (first + c * step >= p.dim) continue;
    takeChunk(x, residual, first + c * step, held[c]);
    sum = squares(held[c], sum);
  }
  for (int64_t i = first + kHeld * step; i < p.dim; i += step) {
    float values[N];
    takeChunk(x, residual, i, values);
    sum = squares(values, sum);
  }
  const float mean = reduceBlock(sum, Sum(), warps) / static_cast<float>(p.dim);
  const float scale = 1.0f / sqrtf(mean + p.eps);
#pragma unroll
  for (int c = 0; c < kHeld; ++c)
    if (first + c * step < p.dim) scaleChunk(weight, out, scale, first + c * step, held[c]);
  for (int64_t i = first + kHeld * step; i < p.dim; i += step) {
    float values[N];
    (residual.data ? residual : x).load(i, values);
    scaleChunk(weight, out, scale, i, values);
  }
}

}  // namespace
}  // namespace pw

/// Rows of any types, length and alignment.
extern "C" __global__ void __launch_bounds__(512) pw_rmsnorm_1(const __grid_constant__ pw_gpu_rmsnorm_params p) {
  pw::rmsNorm<1>(p);
}

/// Rows of any types that are made of aligned chunks of 4.
extern "C" __global__ void __launch_bounds__(512) pw_rmsnorm_4(const __grid_constant__ pw_gpu_rmsnorm_params p) {
  pw::rmsNorm<4>(p);
}

/// Rows of 16-bit types that are made of aligned chunks of 8.
extern "C" __global__ void __launch_bounds__(512) pw_rmsnorm_8(const __grid_constant__ pw_gpu_rmsnorm_params p) {
  pw::rmsNorm<8>(p);
}
