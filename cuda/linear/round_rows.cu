// SPDX-License-Identifier: Apache-2.0
#include "common/dtype.cuh"
#include "common/reduce.cuh"
#include "pagewarp/gpu/linear_packed.h"

namespace pw::gpu {
namespace {

constexpr int kRoundThreads = 256;

/// An infinity is 1 at an infinite scale, and what is finite beside it 0; a NaN is in the scale alone.
__device__ int codeOf(float x, float scale, float inverse) {
  if (isinf(scale)) return isinf(x) ? (x > 0.0f ? 1 : -1) : 0;
  return __float2int_rn(x * inverse);
}

}  // namespace
}  // namespace pw::gpu

/// To nearest: the row's largest magnitude becomes 127. A block per row; a warp per 32 columns of the codes.
extern "C" __global__ void __launch_bounds__(256) pw_round_rows(const __grid_constant__ pw_gpu_round_rows_params p) {
  using namespace pw;
  using namespace pw::gpu;
  __shared__ float shared[kRoundThreads / kLanes];
  const int64_t row = blockIdx.x, first = row * p.x_stride;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kLanes;
  const auto load = [&](int i) { return loadFloat(p.x, p.x_type, first + (p.order ? p.order[i] : i)); };
  float largest = 0.0f;
  bool nan = false;
  for (int i = thread; i < p.k; i += kRoundThreads) {
    const float x = load(i);
    largest = fmaxf(largest, fabsf(x));
    nan = nan || isnan(x);
  }
  nan = __syncthreads_or(nan) != 0;
  largest = reduceBlock(largest, Maximum{}, shared);
  // Below 2^-100 the reciprocal could overflow; such a row is zero to any weight that a model holds.
  const bool zero = largest < 0x1p-100f;
  const float scale = nan ? __uint_as_float(0x7fc00000u) : zero ? 0.0f : largest / 127.0f;
  const float inverse = nan || zero ? 0.0f : 127.0f / largest;
  for (int i = thread; i < p.k; i += kRoundThreads) {
    const int code = nan ? 0 : codeOf(load(i), scale, inverse);
    p.codes[row * p.k + int8Position(i)] = static_cast<int8_t>(code);
    const int sum = reduceWarp(code, Sum{});
    if (lane == 0) p.sums[row * (p.k / kBlockColumns) + i / kBlockColumns] = sum;
  }
  if (thread == 0) p.scales[row] = scale;
}
