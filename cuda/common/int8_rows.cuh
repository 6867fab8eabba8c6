// SPDX-License-Identifier: Apache-2.0
/// @file Rows rounded to int8 with one scale each: pagewarp/int8_rows.h over the threads of a block.
#pragma once
#include "common/reduce.cuh"
#include "pagewarp/gpu/linear_packed.h"
#include "pagewarp/int8_rows.h"

namespace pw {

/// A NaN is larger than anything.
struct LargestMagnitude {
  __device__ float operator()(float a, float b) const { return a > b || a != a ? a : b; }
};

/// Where codes of rows of k columns go.
struct Int8Rows {
  int8_t* codes;
  float* scales;
  int32_t* sums;
  int k;

  /// N columns of a row from `first` on, a multiple of N, rounded by the row's largest magnitude. All lanes of a warp
  /// call it, for N columns each of neighbouring 32; those whose columns are not in the row (`inside`) store nothing.
  template <int N>
  __device__ void store(int64_t row, int64_t first, const float (&values)[N], float largest, bool inside) const {
    using gpu::int8Position;
    const float scale = pw_int8_scale(largest), inverse = pw_int8_inverse(largest);
    int code[N], sum = 0;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      code[j] = pw_int8_code(values[j], scale, inverse);
      sum += code[j];
    }
    constexpr int kSharing = gpu::kBlockColumns / N;  // lanes whose columns have a sum
#pragma unroll
    for (int lane = kSharing / 2; lane > 0; lane /= 2) sum += __shfl_xor_sync(kAllLanes, sum, lane);
    if (!inside) return;
    int8_t* to = codes + row * k;
    const int column = static_cast<int>(first);
    if constexpr (N < 4) {
#pragma unroll
      for (int j = 0; j < N; ++j) to[int8Position(column + j)] = static_cast<int8_t>(code[j]);
    } else {
      // Four columns lie in one word.
#pragma unroll
      for (int j = 0; j < N; j += 4) {
        uint32_t word = 0;
#pragma unroll
        for (int e = 0; e < 4; ++e) word |= (static_cast<uint32_t>(code[j + e]) & 0xffu) << 8 * int8Position(e);
        *reinterpret_cast<uint32_t*>(to + int8Position(column + j)) = word;
      }
    }
    if (threadIdx.x % kSharing == 0) sums[row * (k / gpu::kBlockColumns) + column / gpu::kBlockColumns] = sum;
    if (column == 0) scales[row] = scale;
  }
};

}  // namespace pw
