// SPDX-License-Identifier: Apache-2.0
/// @file The end of a row: its weighted sum of values becomes an output and a log-sum-exp.
#pragma once
#include "common/dtype.cuh"
#include "common/reduce.cuh"
#include "pagewarp/gpu/attention.h"

namespace pw {

struct FinishedRow {
  float factor;  // on the weighted sum
  float lse;
};

/// @param top the largest logit, to which the exponentials in `denominator` are relative; a denominator of 0: no key
__device__ inline FinishedRow finishRow(const pw_gpu_attention_out& out, int head, float top, float denominator) {
  const float none = -__builtin_huge_valf();
  const float sink = out.sinks ? out.sinks[head * out.sinkStride] : none;
  if (denominator == 0.0f) return {0.0f, sink};
  if (!out.sinks) return {1.0f / denominator, top + logf(denominator)};
  const float joint = sink > top ? sink : top;
  const float weight = expf(top - joint), total = denominator * weight + expf(sink - joint);
  return {weight / total, joint + logf(total)};
}

__device__ inline char* outRow(const pw_gpu_attention_out& out, int row, int head) {
  return floatAt(out.data, out.dtype, row * out.strides[0] + head * out.strides[1]);
}

__device__ inline void writeLse(const pw_gpu_attention_out& out, int row, int head, float lse) {
  if (out.lse) out.lse[row * out.lseStrides[0] + head * out.lseStrides[1]] = lse;
}

/// Output rows that the plan does not have get zeros and an lse of -inf. For all threads of the blocks along x.
__device__ inline void clearRest(const pw_gpu_attention_params& p) {
#pragma unroll 1
  for (int row = p.image->rows + static_cast<int>(blockIdx.x); row < p.clearEnd; row += static_cast<int>(gridDim.x))
#pragma unroll 1
    for (int head = 0; head < p.heads; ++head) {
      char* to = outRow(p.out, row, head);
#pragma unroll 1
      for (int d = static_cast<int>(threadIdx.x); d < p.headDim; d += static_cast<int>(blockDim.x))
        storeFloat(to, p.out.dtype, d, 0.0f);
      if (threadIdx.x == 0) writeLse(p.out, row, head, -__builtin_huge_valf());
    }
}

/// Where partial results of split rows are: sums [partialRows, heads, headDim], then (top, denominator) [partialRows,
/// heads].
struct Partials {
  float* base;
  int64_t rows;
  int heads, dim;

  __device__ float* sum(int64_t row, int head) const { return base + (row * heads + head) * dim; }
  __device__ float* state(int64_t row, int head) const { return base + rows * heads * dim + (row * heads + head) * 2; }
};

}  // namespace pw
