// SPDX-License-Identifier: Apache-2.0
/// @file Gated linear units, out = activation(gate) * up. A fused projection is two views of one tensor.
#include "common/activate.cuh"
#include "common/rows.cuh"
#include "pagewarp/gpu/activation.h"

namespace pw {
namespace {

template <int N>
__device__ void gated(const pw_gpu_gated_params& p) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i >= p.length) return;
  for (int r = static_cast<int>(blockIdx.y); r < p.rows; r += static_cast<int>(gridDim.y)) {
    float gate[N], up[N];
    rowAt(p.gate, r).load(i, gate);
    rowAt(p.up, r).load(i, up);
#pragma unroll
    for (int j = 0; j < N; ++j) gate[j] = activate(p.activation, gate[j]) * up[j];
    rowAt(p.out, r).store(i, gate);
  }
}

}  // namespace
}  // namespace pw

/// Rows of any types, length and alignment.
extern "C" __global__ void __launch_bounds__(256) pw_gated_1(const __grid_constant__ pw_gpu_gated_params p) {
  pw::gated<1>(p);
}

/// Rows of any types that are made of aligned chunks of 4.
extern "C" __global__ void __launch_bounds__(256) pw_gated_4(const __grid_constant__ pw_gpu_gated_params p) {
  pw::gated<4>(p);
}

/// Rows of 16-bit types that are made of aligned chunks of 8.
extern "C" __global__ void __launch_bounds__(256) pw_gated_8(const __grid_constant__ pw_gpu_gated_params p) {
  pw::gated<8>(p);
}
