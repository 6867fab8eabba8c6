// SPDX-License-Identifier: Apache-2.0
/// @file What the dense linear kernels share: the columns that a lane takes, and the epilogue.
#pragma once
#include "common/rows.cuh"
#include "pagewarp/gpu/linear.h"

namespace pw {
namespace linear {

constexpr int kBlock = PW_GPU_LINEAR_BLOCK;
constexpr int kStrip = 16;  ///< output features of a block of the kernels for few rows
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
static_assert(kWarps == PW_GPU_LINEAR_SLICES, "one slice per warp");

/// Columns [i, i + 8) of a row of 16-bit elements; zeros beyond column k.
__device__ inline uint4 loadWords(const uint16_t* row, int i, int k) {
  return i < k ? __ldg(reinterpret_cast<const uint4*>(row + i)) : make_uint4(0, 0, 0, 0);
}

/// Four f32 columns [i, i + 4); zeros beyond column k.
__device__ inline float4 loadFour(const float* row, int i, int k) {
  return i < k ? __ldg(reinterpret_cast<const float4*>(row + i)) : make_float4(0, 0, 0, 0);
}

__device__ inline void spread(const float4& low, const float4& high, float (&x)[8]) {
  x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
  x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
}

/// Where four of the eight columns of lane `t` < 4 begin in a block; the other four begin kSecond<kWeight> later. Over
/// 16-bit weights the eight are neighbours, one 16-byte access; over f32 weights two groups of four, so that the four
/// lanes' accesses lie side by side.
template <int kWeight>
__device__ inline int firstColumn(int t) {
  return kWeight == PW_F32 ? 4 * t : 8 * t;
}
template <int kWeight>
constexpr int kSecond = kWeight == PW_F32 ? 16 : 4;

/// The columns of lane `t` in the block that begins at column `block` of a row of f32.
template <int kWeight>
__device__ inline void loadColumns(const float* row, int block, int t, int k, float (&x)[8]) {
  const int first = block + firstColumn<kWeight>(t);
  spread(loadFour(row, first, k), loadFour(row, first + kSecond<kWeight>, k), x);
}

/// The same columns of a row of weights.
template <int kWeight>
__device__ inline void loadWeights(const void* row, int block, int t, int k, float (&w)[8]) {
  if constexpr (kWeight == PW_F32) {
    loadColumns<PW_F32>(static_cast<const float*>(row), block, t, k, w);
  } else {
    const uint4 words = loadWords(static_cast<const uint16_t*>(row), block + 8 * t, k);
    unpack2<kWeight>(words.x, w[0], w[1]);
    unpack2<kWeight>(words.y, w[2], w[3]);
    unpack2<kWeight>(words.z, w[4], w[5]);
    unpack2<kWeight>(words.w, w[6], w[7]);
  }
}

/// out[token, feature] = sum + bias + residual.
__device__ inline void writeOutput(const pw_gpu_linear_params& p, int token, int feature, float sum) {
  if (p.bias) sum += loadFloat(p.bias, p.biasType, feature);
  if (p.residual.data) sum += loadFloat(rowAt(p.residual, token).data, p.residual.dtype, feature);
  storeFloat(rowAt(p.out, token).data, p.out.dtype, feature, sum);
}

/// Adds the slices of a strip in order and writes it: partial[slice][token][feature].
template <int kTokens, int kPitch>
__device__ inline void writeStrip(const pw_gpu_linear_params& p, const float (&partial)[kWarps][kTokens][kPitch],
                                  int firstToken, int firstFeature) {
  const int slices = (p.k + p.sliceLength - 1) / p.sliceLength;
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kStrip; i += kThreads) {
    const int token = i / kStrip, feature = i % kStrip;
    if (firstToken + token >= p.m || firstFeature + feature >= p.n) continue;
    float sum = 0.0f;
    for (int s = 0; s < slices; ++s) sum += partial[s][token][feature];
    writeOutput(p, firstToken + token, firstFeature + feature, sum);
  }
}

}  // namespace linear
}  // namespace pw
