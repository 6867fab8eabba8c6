// SPDX-License-Identifier: Apache-2.0
/// @file RMSNorm, with the residual addition before it and the rounding of the result to int8 after it: what linear
/// layers over 8-bit activations take, without the normalised row ever being written. One block per row.
#include "common/int8_rows.cuh"
#include "norm/rmsnorm.cuh"

namespace pw {
namespace {

template <int N>
__device__ void rmsNormInt8(const pw_gpu_rmsnorm_int8_params& p) {
  __shared__ float warps[kWarp];
  const int index = static_cast<int>(blockIdx.x);
  NormRow<N> row(p.norm, index, warps);
  const int64_t rest = row.kHeld * row.step;  // of the columns behind those that are held
  float largest = 0.0f;
  const auto see = [&](const float(&values)[N]) {
#pragma unroll
    for (int j = 0; j < N; ++j) largest = LargestMagnitude{}(largest, fabsf(values[j]));
  };
#pragma unroll
  for (int c = 0; c < row.kHeld; ++c) {
    const int64_t i = row.first + c * row.step;
    if (i >= row.dim) continue;
    row.normalize(i, row.held[c]);
    see(row.held[c]);
  }
  for (int64_t i = row.first + rest; i < row.dim; i += row.step) {
    float values[N];
    row.reload(i, values);
    row.normalize(i, values);
    see(values);
  }
  largest = reduceBlock(largest, LargestMagnitude{}, warps);
  // Whole warps from here on: lanes exchange their sums.
  const Int8Rows to{p.codes, p.scales, p.sums, static_cast<int>(row.dim)};
#pragma unroll
  for (int c = 0; c < row.kHeld; ++c) {
    const int64_t i = row.first + c * row.step;
    if (i >= row.dim) {
#pragma unroll
      for (int j = 0; j < N; ++j) row.held[c][j] = 0.0f;
    }
    to.store(index, i, row.held[c], largest, i < row.dim);
  }
  for (int64_t begin = rest; begin < row.dim; begin += row.step) {
    const int64_t i = row.first + begin;
    float values[N] = {};
    if (i < row.dim) {
      row.reload(i, values);
      row.normalize(i, values);
    }
    to.store(index, i, values, largest, i < row.dim);
  }
}

}  // namespace
}  // namespace pw

/// Rows of any types and alignment.
extern "C" __global__ void __launch_bounds__(512, 1)
    pw_rmsnorm_int8_1(const __grid_constant__ pw_gpu_rmsnorm_int8_params p) {
  pw::rmsNormInt8<1>(p);
}

/// Rows of any types that are made of aligned chunks of 4.
extern "C" __global__ void __launch_bounds__(512, 1)
    pw_rmsnorm_int8_4(const __grid_constant__ pw_gpu_rmsnorm_int8_params p) {
  pw::rmsNormInt8<4>(p);
}
