// SPDX-License-Identifier: Apache-2.0
/// @file A row of logits as the sampling kernels walk it: in blocks of PW_GPU_SAMPLE_BLOCK tokens, one warp each.
#pragma once
#include <math_constants.h>

#include "common/dtype.cuh"
#include "common/reduce.cuh"
#include "pagewarp/gpu/sample.h"

namespace pw {
namespace sampling {

constexpr int kBlock = PW_GPU_SAMPLE_BLOCK;
constexpr int kPerLane = kBlock / kWarp;  ///< eight, in two groups of four neighbours

__device__ inline int laneIndex() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ inline int warpIndex() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ inline int warpCount() { return static_cast<int>(blockDim.x) / kWarp; }

/// The place in a block of this lane's element `j`.
__device__ inline int placeInBlock(int j) { return j / 4 * (kBlock / 2) + 4 * laneIndex() + j % 4; }

/// A row as given, and the few logits of it that penalties have changed.
/// No padding: it is passed through memory, and unset bytes should not be.
struct LogitsRow {
  const char* data;
  int size;
  int16_t dtype, aligned;
  const uint32_t* changed;  ///< a bit per token, set for those of which `penalized` has the logit; or null
  const float* penalized;

  __device__ int blocks() const { return (size + kBlock - 1) / kBlock; }
  __device__ float given(int token) const { return loadFloat(data, dtype, token); }
  __device__ float operator[](int token) const {
    return changed && (changed[token / 32] >> (token % 32) & 1) != 0 ? penalized[token] : given(token);
  }

  /// This lane's logits of a block, -inf beyond the row. -0 becomes +0: the two are equal in the order of tokens.
  __device__ void load(int block, float (&x)[kPerLane]) const {
    loadGiven(block, x);
    if (changed) amend(block, x);
  }
  /// The same without the changes.
  __device__ void loadGiven(int block, float (&x)[kPerLane]) const {
#pragma unroll
    for (int h = 0; h < kPerLane; h += 4) {
      const int token = block * kBlock + placeInBlock(h);
      float four[4];
      if (aligned && token + 4 <= size)
        loadChunk(data, dtype, token, four);
      else
        loadPart(data, dtype, token, size, four, -CUDART_INF_F);
#pragma unroll
      for (int j = 0; j < 4; ++j) x[h + j] = four[j] + 0.0f;
    }
  }
  /// Makes the changes to given logits.
  __device__ void amend(int block, float (&x)[kPerLane]) const {
#pragma unroll
    for (int h = 0; h < kPerLane; h += 4) {
      const int token = block * kBlock + placeInBlock(h);
      const uint32_t four = changed[token / 32] >> (token % 32);
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if ((four >> j & 1) != 0) x[h + j] = penalized[token + j] + 0.0f;
    }
  }
};

__device__ inline LogitsRow rowOf(const pw_gpu_logits& logits, int row) {
  return {floatAt(logits.data, logits.dtype, row * logits.stride),
          logits.size,
          static_cast<int16_t>(logits.dtype),
          static_cast<int16_t>(logits.aligned),
          nullptr,
          nullptr};
}

__device__ inline int64_t readInteger(const pw_gpu_vector& v, int64_t i) {
  return v.wide ? static_cast<const int64_t*>(v.data)[i * v.stride] : static_cast<const int32_t*>(v.data)[i * v.stride];
}
__device__ inline void writeInteger(const pw_gpu_vector& v, int64_t i, int64_t value) {
  if (v.wide)
    static_cast<int64_t*>(v.data)[i * v.stride] = value;
  else
    static_cast<int32_t*>(v.data)[i * v.stride] = static_cast<int32_t>(value);
}

/// Numbers in the order of floats (-0 apart from +0).
__device__ inline uint32_t orderOf(float x) {
  const uint32_t bits = __float_as_uint(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline float fromOrder(uint32_t order) {
  return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

/// Larger for what comes first in the total order of tokens.
__device__ inline uint64_t rankOf(float logit, int token) {
  return static_cast<uint64_t>(orderOf(logit)) << 32 | ~static_cast<uint32_t>(token);
}
__device__ inline float logitOfRank(uint64_t rank) { return fromOrder(static_cast<uint32_t>(rank >> 32)); }
__device__ inline int tokenOfRank(uint64_t rank) { return static_cast<int>(~static_cast<uint32_t>(rank)); }

/// What one thread saw of a row.
struct Scan {
  uint64_t best = 0;         ///< rank of the first token
  float low = CUDART_INF_F;  ///< smallest finite logit
  int finite = 0;            ///< finite logits
  bool bad = false;          ///< a NaN or +inf

  __device__ void take(float x, int token) {
    if (!(x < CUDART_INF_F)) bad = true;
    if (!(x > -CUDART_INF_F)) return;
    const uint64_t rank = rankOf(x, token);
    best = rank > best ? rank : best;
    low = fminf(low, x);
    ++finite;
  }
  /// This lane's logits of a block.
  __device__ void take(const float (&x)[kPerLane], int block) {
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) take(x[j], block * kBlock + placeInBlock(j));
  }
};

}  // namespace sampling
}  // namespace pw
