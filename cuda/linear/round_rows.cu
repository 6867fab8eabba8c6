// SPDX-License-Identifier: Apache-2.0
#include "common/dtype.cuh"
#include "common/int8_rows.cuh"

/// A block per row; a warp per 32 columns of the codes.
extern "C" __global__ void __launch_bounds__(256) pw_round_rows(const __grid_constant__ pw_gpu_round_rows_params p) {
  using namespace pw;
  constexpr int kThreads = 256;
  __shared__ float shared[kThreads / kWarp];
  const int64_t row = blockIdx.x, first = row * p.x_stride;
  const int thread = static_cast<int>(threadIdx.x);
  const auto load = [&](int i) { return loadFloat(p.x, p.x_type, first + (p.order ? p.order[i] : i)); };
  float largest = 0.0f;
  for (int i = thread; i < p.k; i += kThreads) largest = LargestMagnitude{}(largest, fabsf(load(i)));
  largest = reduceBlock(largest, LargestMagnitude{}, shared);
  const Int8Rows rows{p.codes, p.scales, p.sums, p.k};
  for (int i = thread; i < p.k; i += kThreads) {
    const float value[1] = {load(i)};
    rows.store(row, i, value, largest, true);
  }
}
