// SPDX-License-Identifier: Apache-2.0
/// @file Several candidates a row, a thread block per row.
#include "verify/draft.cuh"

namespace pw {
namespace sampling {
namespace {

__device__ double coinOf(const pw_gpu_candidates_params& p, int row, const Request& request, pw_draw use, int at) {
  const int64_t branch = p.branches.data ? readInteger(p.branches, row) : 0;
  return uniformOf(request, use, request.offset, branch * PW_MAX_CANDIDATES + at);
}

/// By one thread.
__device__ void write(const pw_gpu_candidates_params& p, int row, int at, int token, double probability) {
  rowAt<int32_t>(p.ids, row)[at] = token;
  rowAt<float>(p.logprobs, row)[at] = static_cast<float>(log(probability));
}

__device__ void takeTop(const pw_gpu_candidates_params& p, int row, const TargetDistribution& d, Shared& shared) {
  if (d.only >= 0) {
    if (threadIdx.x == 0) write(p, row, 0, d.only, 1.0);
    return;
  }
  // What the filters needed further readings for has taken the list's place.
  const int listed = d.range.listed > 0 ? d.range.listed
                                        : scanRow(d.row, {0.0f, p.ids.columns, false}, d.sums, nullptr, shared).listed;
  const int found = supportedOfListed(d, min(listed, p.ids.columns), shared);
  for (int i = static_cast<int>(threadIdx.x); i < found; i += static_cast<int>(blockDim.x)) {
    const int token = tokenOfRank(shared.ranks[i]);
    write(p, row, i, token, d.probability(token));
  }
}

__device__ void drawRow(const pw_gpu_candidates_params& p, int row, const Request& request, const TargetDistribution& d,
                        float* sums, Shared& shared) {
  __shared__ int32_t drawn[PW_MAX_CANDIDATES];
  const bool distinct = p.kind == PW_CANDIDATES_DISTINCT;
  Residual left{&d, nullptr, 1.0f, 0.0f, CUDART_INF_F, drawn, 0};
  double undrawn = 1.0, previous = 0.0;
  for (int i = 0; i < p.ids.columns; ++i) {
    const double coin = coinOf(p, row, request, PW_DRAW_SAMPLE, i);
    int token = -1;
    if (i == 0 || !distinct) {
      token = draw(d, coin, shared);
    } else {
      if (d.only >= 0) return;
      left.rejectedCount = i;
      const double total = sumResidual(left, sums, shared);
      if (!(total > 0.0)) return;  // the support is exhausted
      undrawn = total / d.total;
      token = drawResidual(left, sums, total, coin, shared);
    }
    if (threadIdx.x == 0) {
      drawn[i] = token;
      write(p, row, i, token, d.probability(token));
    }
    if (p.keys.data) {
      const double location = log(undrawn), exponential = -log(coinOf(p, row, request, PW_DRAW_KEY, i));
      double key = location - log(exponential);
      if (i == 0 && p.firstKeys)
        key = p.firstKeys[row * p.firstKeyStride];
      else if (i > 0)
        key = location - log(exp(location - previous) + exponential);
      previous = key;
      if (threadIdx.x == 0) rowAt<float>(p.keys, row)[i] = static_cast<float>(key);
    }
    __syncthreads();
  }
}

__device__ void candidatesOfRow(const pw_gpu_candidates_params& p, int row, Shared& shared) {
  for (int i = static_cast<int>(threadIdx.x); i < p.ids.columns; i += static_cast<int>(blockDim.x)) {
    rowAt<int32_t>(p.ids, row)[i] = -1;
    rowAt<float>(p.logprobs, row)[i] = -CUDART_INF_F;
    if (p.keys.data) rowAt<float>(p.keys, row)[i] = -CUDART_INF_F;
  }
  __syncthreads();
  const Request request = loadRequest(p.sampling, row, p.logits.size);
  const int listed = p.kind == PW_CANDIDATES_TOP ? p.ids.columns : 0;
  TargetDistribution d;
  const RowError error = openRow(rowOf(p.logits, row), request, nullptr, 0, p.workspace,
                                 p.workspace.data + blockIdx.x * p.workspace.bytes, listed, false, nullptr, d, shared);
  if (error != RowError::kNone) {
    if (threadIdx.x == 0)
      pw_gpu_report(p.error, error == RowError::kLogits ? PW_INVALID_LOGITS : PW_INVALID_TOKEN, row, 0);
    return;
  }
  if (p.kind == PW_CANDIDATES_TOP) return takeTop(p, row, d, shared);
  drawRow(p, row, request, d, reinterpret_cast<float*>(p.memory.data + blockIdx.x * p.memory.bytes), shared);
}

}  // namespace
}  // namespace sampling
}  // namespace pw

extern "C" __global__ void __launch_bounds__(512, 1) pw_candidates(const __grid_constant__ pw_gpu_candidates_params p) {
  __shared__ pw::sampling::Shared shared;
  for (int row = static_cast<int>(blockIdx.x); row < p.rows; row += static_cast<int>(gridDim.x)) {
    pw::sampling::candidatesOfRow(p, row, shared);
    __syncthreads();
  }
}
