// SPDX-License-Identifier: Apache-2.0
/// @file Dense linear layers for few rows of x, which stream the weights once, from global memory to registers, 16
/// bytes at a time. A block takes 16 output features and its 8 warps a slice of the columns each; lane 4 g + t takes
/// features g and g + 8 and the columns of lane t.
#include <limits.h>

#include "common/mma.cuh"
#include "common/reduce.cuh"
#include "linear/common.cuh"

namespace pw {
namespace linear {
namespace {

/// The features and columns of this lane. Features and tokens beyond the matrices are replaced by the last ones: what
/// is computed from them is not written.
struct Share {
  int g, t, firstFeature, firstToken, begin, end;
  int full;  ///< blocks up to here need no mask

  __device__ Share(const pw_gpu_linear_params& p, int tokens) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
    g = lane / 4;
    t = lane % 4;
    firstFeature = static_cast<int>(blockIdx.x) * kStrip;
    firstToken = static_cast<int>(blockIdx.y) * tokens;
    begin = min(warp * p.sliceLength, p.k);
    end = min(begin + p.sliceLength, p.k);
    full = begin + (end - begin) / kBlock * kBlock;
  }

  __device__ const void* weights(const pw_gpu_linear_params& p, int half) const {
    return floatAt(p.weight, p.weightType, static_cast<int64_t>(min(firstFeature + g + 8 * half, p.n - 1)) * p.k);
  }
  __device__ const void* x(const pw_gpu_linear_params& p, int token) const {
    return rowAt(p.x, min(firstToken + token, p.m - 1)).data;
  }
};

/// Ends the slices of a block: sum[token][half] of the four lanes of a feature are added, then the slices.
template <int kTokens>
__device__ void finish(const pw_gpu_linear_params& p, const Share& share, const float (&sum)[kTokens][2]) {
  __shared__ float partial[kWarps][kTokens][kStrip];
#pragma unroll
  for (int j = 0; j < kTokens; ++j) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float total = sum[j][h];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      if (share.t == 0) partial[threadIdx.x / kWarp][j][share.g + 8 * h] = total;
    }
  }
  __syncthreads();
  writeStrip(p, partial, share.firstToken, share.firstFeature);
}

/// f32 activations: every product is exact and added by one fused multiply-add.
template <int kWeight, int kTokens>
__device__ void multiplyF32(const pw_gpu_linear_params& p) {
  const Share share(p, kTokens);
  const void* weights[2] = {share.weights(p, 0), share.weights(p, 1)};
  const float* x[kTokens];
#pragma unroll
  for (int j = 0; j < kTokens; ++j) x[j] = static_cast<const float*>(share.x(p, j));
  float sum[kTokens][2] = {};
  const auto multiply = [&](int block, int k) {
    float w[2][8], v[8];
#pragma unroll
    for (int h = 0; h < 2; ++h) loadWeights<kWeight>(weights[h], block, share.t, k, w[h]);
#pragma unroll
    for (int j = 0; j < kTokens; ++j) {
      loadColumns<kWeight>(x[j], block, share.t, k, v);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
#pragma unroll
        for (int e = 0; e < 8; ++e) sum[j][h] = fmaf(w[h][e], v[e], sum[j][h]);
      }
    }
  };
#pragma unroll(kTokens == 1 ? 4 : 1)
  for (int block = share.begin; block < share.full; block += kBlock) multiply(block, INT_MAX);
  if (share.full < share.end) multiply(share.full, p.k);
  finish(p, share, sum);
}

/// The same for rows that do not begin at multiples of 16 bytes, or whose length is no multiple of 8: element by
/// element.
template <int kTokens>
__device__ void multiplyOdd(const pw_gpu_linear_params& p) {
  const Share share(p, kTokens);
  const bool wide = p.weightType == PW_F32;
  const int column = wide ? firstColumn<PW_F32>(share.t) : firstColumn<PW_F16>(share.t);
  const int second = wide ? kSecond<PW_F32> - 4 : 0;
  const void* weights[2] = {share.weights(p, 0), share.weights(p, 1)};
  const float* x[kTokens];
#pragma unroll
  for (int j = 0; j < kTokens; ++j) x[j] = static_cast<const float*>(share.x(p, j));
  float sum[kTokens][2] = {};
  for (int block = share.begin; block < share.end; block += kBlock) {
#pragma unroll 1
    for (int e = 0; e < 8; ++e) {
      const int i = block + column + e + (e < 4 ? 0 : second);
      if (i >= p.k) continue;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float w = loadFloat(weights[h], p.weightType, i);
#pragma unroll
        for (int j = 0; j < kTokens; ++j) sum[j][h] = fmaf(w, x[j][i], sum[j][h]);
      }
    }
  }
  finish(p, share, sum);
}

/// 16-bit activations of the weights' type, on the tensor cores: weights are the 16 rows, 8 tokens the columns. What an
/// instruction calls columns 2t, 2t + 1, 2t + 8, 2t + 9 are neighbours in memory here, for both operands alike.
template <int kType, int kTiles>
__device__ void multiplyHalf(const pw_gpu_linear_params& p) {
  __shared__ float partial[kWarps][8 * kTiles][kStrip + 4];
  const Share share(p, 8 * kTiles);
  const auto* low = static_cast<const uint16_t*>(share.weights(p, 0));
  const auto* high = static_cast<const uint16_t*>(share.weights(p, 1));
  const uint16_t* x[kTiles];
#pragma unroll
  for (int j = 0; j < kTiles; ++j) x[j] = static_cast<const uint16_t*>(share.x(p, 8 * j + share.g));
  float sum[kTiles][4] = {};
  const auto multiply = [&](int block, int k) {
    const int column = block + 8 * share.t;
    const uint4 a = loadWords(low, column, k), b = loadWords(high, column, k);
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const uint4 v = loadWords(x[j], column, k);
      mma16x8x16<kType>(sum[j], {a.x, b.x, a.y, b.y}, {v.x, v.y});
      mma16x8x16<kType>(sum[j], {a.z, b.z, a.w, b.w}, {v.z, v.w});
    }
  };
#pragma unroll(kTiles == 1 ? 4 : 2)
  for (int block = share.begin; block < share.full; block += kBlock) multiply(block, INT_MAX);
  if (share.full < share.end) multiply(share.full, p.k);
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e)
      partial[threadIdx.x / kWarp][8 * j + 2 * share.t + e % 2][share.g + e / 2 * 8] = sum[j][e];
  }
  __syncthreads();
  writeStrip(p, partial, share.firstToken, share.firstFeature);
}

}  // namespace
}  // namespace linear
}  // namespace pw

#define PW_LINEAR_FEW(NAME, BLOCKS, ...)                                     \
  extern "C" __global__ void __launch_bounds__(pw::linear::kThreads, BLOCKS) \
      pw_linear_few_##NAME(const __grid_constant__ pw_gpu_linear_params p) { \
    pw::linear::__VA_ARGS__(p);                                              \
  }

// Activations of f32 over weights of the named type, 1 or 8 rows of x per block; over any type and shape, 4 rows.
PW_LINEAR_FEW(x32_f32_1, 2, multiplyF32<PW_F32, 1>)
PW_LINEAR_FEW(x32_f32_8, 1, multiplyF32<PW_F32, 8>)
PW_LINEAR_FEW(x32_f16_1, 2, multiplyF32<PW_F16, 1>)
PW_LINEAR_FEW(x32_f16_8, 1, multiplyF32<PW_F16, 8>)
PW_LINEAR_FEW(x32_bf16_1, 2, multiplyF32<PW_BF16, 1>)
PW_LINEAR_FEW(x32_bf16_8, 1, multiplyF32<PW_BF16, 8>)
PW_LINEAR_FEW(x32_odd_4, 2, multiplyOdd<4>)
// Activations and weights of one 16-bit type, 8 or 32 rows of x per block.
PW_LINEAR_FEW(f16_8, 2, multiplyHalf<PW_F16, 1>)
PW_LINEAR_FEW(f16_32, 2, multiplyHalf<PW_F16, 4>)
PW_LINEAR_FEW(bf16_8, 2, multiplyHalf<PW_BF16, 1>)
PW_LINEAR_FEW(bf16_32, 2, multiplyHalf<PW_BF16, 4>)
