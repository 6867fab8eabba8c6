// SPDX-License-Identifier: Apache-2.0
/// @file Reductions over a warp and over a block, in an order that depends on the block's size only.
#pragma once
#include <stdint.h>

namespace pw {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarp = 32;

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Maximum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

/// Every lane gets the result over all lanes.
template <class T, class Combine>
__device__ inline T reduceWarp(T value, Combine combine) {
#pragma unroll
  for (int lane = kWarp / 2; lane > 0; lane /= 2) value = combine(value, __shfl_xor_sync(kAllLanes, value, lane));
  return value;
}

/// Every thread of the block gets the result; blockDim.x is a multiple of 32. `warps` is shared memory for one value
/// per warp. Begins and ends with a barrier, so that it can be reused at once.
template <class T, class Combine>
__device__ inline T reduceBlock(T value, Combine combine, T* warps) {
  value = reduceWarp(value, combine);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  T result = warps[0];
  for (unsigned w = 1; w < blockDim.x / kWarp; ++w) result = combine(result, warps[w]);
  return result;
}

}  // namespace pw
