// SPDX-License-Identifier: Apache-2.0
/// @file Joining partial results over disjoint sets of keys: the end of a split plan, and mergeStates. One warp a row
/// and head; parts are added in their order, so that results do not depend on timing.
#include "attention/finish.cuh"
#include "attention/packed_rows.cuh"

namespace pw {
namespace {

constexpr int kThreads = 128;
/// Columns of a lane that are summed in one pass over the parts.
constexpr int kColumns = 4;

struct PlanParts {
  const Partials& partials;
  const pw_attention_merge& merge;
  int row, head;  // row within the merge

  __device__ int count() const { return pw_attention_parts(&merge); }
  __device__ int64_t partialRow(int part) const { return pw_attention_partial_row(&merge, part, row); }
  __device__ void state(int part, float& top, float& denominator) const {
    const float2 state = *reinterpret_cast<const float2*>(partials.state(partialRow(part), head));
    top = state.x;
    denominator = state.y;
  }
  __device__ float value(int part, int d) const { return partials.sum(partialRow(part), head)[d]; }
};

struct StateParts {
  const pw_gpu_merge_states_params& p;
  int row, head;

  __device__ int count() const { return p.parts; }
  __device__ void state(int part, float& top, float& denominator) const {
    top = p.lses[part * p.lseStrides[0] + row * p.lseStrides[1] + head * p.lseStrides[2]];
    denominator = top == kNoLogit ? 0.0f : 1.0f;
  }
  __device__ float value(int part, int d) const {
    return loadFloat(p.outs, p.dtype, part * p.outStrides[0] + row * p.outStrides[1] + head * p.outStrides[2] + d);
  }
};

/// The largest logit of the parts that have keys; NaN if any of these is.
template <class Parts>
__device__ float largestTop(const Parts& parts, int lane) {
  float largest = kNoLogit;
  bool isNan = false;
  for (int part = lane; part < parts.count(); part += kWarp) {
    float top, denominator;
    parts.state(part, top, denominator);
    if (denominator == 0.0f) continue;
    isNan |= top != top;
    largest = fmaxf(largest, top);
  }
  largest = reduceWarp(largest, Maximum());
  return __any_sync(kAllLanes, isNan) ? __int_as_float(0x7fffffff) : largest;
}

template <class Parts>
__device__ void joinParts(const Parts& parts, const pw_gpu_attention_out& out, int row, int head, int dim) {
  const int lane = threadIdx.x % kWarp;
  const float largest = largestTop(parts, lane);
  char* to = outRow(out, row, head);
  FinishedRow finished{};
  for (int begin = lane; begin - lane < dim; begin += kWarp * kColumns) {
    float sum[kColumns] = {}, total = 0.0f;
#pragma unroll 2
    for (int part = 0; part < parts.count(); ++part) {
      float top, denominator;
      parts.state(part, top, denominator);
      const float weight = denominator == 0.0f ? 0.0f : top == largest ? 1.0f : expf(top - largest);
      if (weight == 0.0f) continue;
      total += weight * denominator;
#pragma unroll
      for (int c = 0; c < kColumns; ++c)
        if (begin + c * kWarp < dim) sum[c] = fmaf(weight, parts.value(part, begin + c * kWarp), sum[c]);
    }
    finished = finishRow(out, head, largest, total);
#pragma unroll
    for (int c = 0; c < kColumns; ++c)
      if (begin + c * kWarp < dim) storeFloat(to, out.dtype, begin + c * kWarp, sum[c] * finished.factor);
  }
  if (lane == 0) writeLse(out, row, head, finished.lse);
}

}  // namespace
}  // namespace pw

using namespace pw;

/// Blocks along x go over merges, along y over rows and heads of each.
extern "C" __global__ void __launch_bounds__(kThreads, 8)
    pw_attention_join(const __grid_constant__ pw_gpu_attention_merge_params p) {
  const int count = p.image->mergeCount, heads = static_cast<int>(p.heads.divisor);
  const Partials partials{const_cast<float*>(p.partials), p.image->partialRows, heads, p.headDim};
  for (int m = blockIdx.x; m < count; m += gridDim.x) {
    const pw_attention_merge merge = planArray<pw_attention_merge>(p.image, p.image->mergesAt)[m];
    const int states = merge.rows * heads;
    constexpr int kWarps = kThreads / kWarp;
    for (int i = blockIdx.y * kWarps + threadIdx.x / kWarp; i < states; i += gridDim.y * kWarps) {
      const int row = quotient(i, p.heads), head = remainder(i, row, p.heads);
      joinParts(PlanParts{partials, merge, row, head}, p.out, merge.rowBegin + row, head, p.headDim);
    }
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, 8)
    pw_merge_states(const __grid_constant__ pw_gpu_merge_states_params p) {
  const int64_t states = static_cast<int64_t>(p.rows) * p.heads.divisor;
  constexpr int kWarps = kThreads / kWarp;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < states;
       i += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int row = static_cast<int>(i / p.heads.divisor), head = static_cast<int>(i % p.heads.divisor);
    joinParts(StateParts{p, row, head}, p.out, row, head, p.headDim);
  }
}

/// The rows that the plan does not have, for kernels that have no registers left for them.
extern "C" __global__ void __launch_bounds__(kThreads, 8)
    pw_attention_clear(const __grid_constant__ pw_gpu_attention_params p) {
  clearRest(p);
}
