// SPDX-License-Identifier: Apache-2.0
/// @file RMSNorm with the residual addition before it, one block per row.
#include "norm/rmsnorm.cuh"

namespace pw {
namespace {

template <int N>
__device__ void rmsNorm(const pw_gpu_rmsnorm_params& p) {
  __shared__ float warps[kWarp];
  const int index = static_cast<int>(blockIdx.x);
  NormRow<N> row(p, index, warps);
  const Row out = rowAt(p.out, index);
#pragma unroll
  for (int c = 0; c < row.kHeld; ++c) {
    const int64_t i = row.first + c * row.step;
    if (i >= row.dim) continue;
    row.normalize(i, row.held[c]);
    out.store(i, row.held[c]);
  }
  for (int64_t i = row.first + row.kHeld * row.step; i < row.dim; i += row.step) {
    float values[N];
    row.reload(i, values);
    row.normalize(i, values);
    out.store(i, values);
  }
}

}  // namespace
}  // namespace pw

/// Rows of any types, length and alignment.
extern "C" __global__ void __launch_bounds__(512, 1) pw_rmsnorm_1(const __grid_constant__ pw_gpu_rmsnorm_params p) {
  pw::rmsNorm<1>(p);
}

/// Rows of any types that are made of aligned chunks of 4.
extern "C" __global__ void __launch_bounds__(512, 1) pw_rmsnorm_4(const __grid_constant__ pw_gpu_rmsnorm_params p) {
  pw::rmsNorm<4>(p);
}

/// Rows of 16-bit types that are made of aligned chunks of 8.
extern "C" __global__ void __launch_bounds__(512, 1) pw_rmsnorm_8(const __grid_constant__ pw_gpu_rmsnorm_params p) {
  pw::rmsNorm<8>(p);
}
