// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "attention/packed_rows.cuh"
#include "attention/tensor/fragments.cuh"

namespace pw {

constexpr float kLog2e = 1.4426950408889634f;

/// 2^x; relative error 2^-22.
__device__ inline float exponential2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// tanh with an absolute error of about 1e-7.
__device__ inline float hyperbolicTangent(float x) {
  return 1.0f - __fdividef(2.0f, exponential2(x * (2.0f * kLog2e)) + 1.0f);
}

/// The largest value of the four lanes that share a row, and their sum.
__device__ inline float rowMaximum(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ inline float rowSum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

/// Online softmax over 16 packed rows, of which the lane has rows g and g + 8.
template <int kDim>
struct WarpState {
  float sums[kDim / 8][4];
  float top[2];
  float denominator[2];  // the lane's share, until the end

  __device__ WarpState() { clear(); }

  __device__ void clear() {
#pragma unroll
    for (auto& tile : sums)
#pragma unroll
      for (float& x : tile) x = 0.0f;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      top[r] = kNoLogit;
      denominator[r] = 0.0f;
    }
  }

  __device__ bool isFinite() const {
    float zero = 0.0f;
#pragma unroll
    for (const auto& tile : sums)
#pragma unroll
      for (const float x : tile) zero = fmaf(x, 0.0f, zero);
    return zero == 0.0f;
  }

  /// Logits become weights relative to the rows' new maxima; what was summed is brought to these.
  template <int kTiles>
  __device__ void addLogits(float (&logits)[kTiles][4]) {
    float rescale[2];
    bool moved = false;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float largest = logits[0][2 * r];
#pragma unroll
      for (int n = 0; n < kTiles; ++n) largest = fmaxf(largest, fmaxf(logits[n][2 * r], logits[n][2 * r + 1]));
      largest = fmaxf(top[r], rowMaximum(largest));
      const float base = largest == kNoLogit ? 0.0f : largest;
      rescale[r] = exponential2((top[r] - base) * kLog2e);
      moved |= largest != top[r];
      top[r] = largest;
      float sum = 0.0f;
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int e = 2 * r; e < 2 * r + 2; ++e) {
          logits[n][e] = exponential2((logits[n][e] - base) * kLog2e);
          sum += logits[n][e];
        }
      denominator[r] = denominator[r] * rescale[r] + sum;
    }
    if (!__any_sync(kAllLanes, moved)) return;
#pragma unroll
    for (auto& tile : sums)
#pragma unroll
      for (int e = 0; e < 4; ++e) tile[e] *= rescale[e / 2];
  }

  /// Adds a state over other keys; denominators are whole.
  __device__ void join(const float* other) {
    const int lane = threadIdx.x % kWarp;
    const float* values = other + lane;
    float mine[2], its[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float itsTop = values[(kDim / 2 + r) * kWarp], itsDenominator = values[(kDim / 2 + 2 + r) * kWarp];
      const float largest = fmaxf(top[r], itsTop), base = largest == kNoLogit ? 0.0f : largest;
      mine[r] = exponential2((top[r] - base) * kLog2e);
      its[r] = exponential2((itsTop - base) * kLog2e);
      top[r] = largest;
      denominator[r] = denominator[r] * mine[r] + itsDenominator * its[r];
    }
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[n][e] = sums[n][e] * mine[e / 2] + values[(4 * n + e) * kWarp] * its[e / 2];
  }

  /// For join(): kDim / 2 + 4 values a lane.
  __device__ void write(float* to) const {
    float* values = to + threadIdx.x % kWarp;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) values[(4 * n + e) * kWarp] = sums[n][e];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      values[(kDim / 2 + r) * kWarp] = top[r];
      values[(kDim / 2 + 2 + r) * kWarp] = denominator[r];
    }
  }
};

}  // namespace pw
