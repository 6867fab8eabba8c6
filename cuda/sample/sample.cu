// SPDX-License-Identifier: Apache-2.0
/// @file Drawing tokens, a thread block per row.
#include "pagewarp/status.h"
#include "sample/distribution.cuh"

namespace pw {
namespace sampling {
namespace {

/// What an invalid row leaves behind.
__device__ void writeNothing(const pw_gpu_sample_params& p, int row) {
  if (threadIdx.x == 0) {
    writeInteger(p.ids, row, -1);
    if (p.logprobs) p.logprobs[row * p.logprobStride] = CUDART_NAN_F;
  }
  if (!p.topIds) return;
  for (int i = static_cast<int>(threadIdx.x); i < p.topCount; i += static_cast<int>(blockDim.x)) {
    p.topIds[row * p.topIdStride + i] = -1;
    p.topLogprobs[row * p.topLogprobStride + i] = CUDART_NAN_F;
  }
}

/// The most probable tokens in order; ids -1 where the row has fewer finite logits.
__device__ void writeTop(const pw_gpu_sample_params& p, int row, const LogitsRow& logits, const RowRange& range,
                         float* sums, double logSumExp, Shared& shared) {
  TargetDistribution d{logits, range, 1.0f, -CUDART_INF_F, logits.size, CUDART_INF_F, -1, 0, 0, sums};
  if (p.topCount < range.finite) cutPrefix(d, false, p.topCount, belowAll(range), shared);
  const int found = collect(d, -CUDART_INF_F, range.max, shared);
  for (int i = static_cast<int>(threadIdx.x); i < p.topCount; i += static_cast<int>(blockDim.x)) {
    const bool exists = i < found;
    const uint64_t rank = exists ? shared.ranks[i] : 0;
    p.topIds[row * p.topIdStride + i] = exists ? tokenOfRank(rank) : -1;
    p.topLogprobs[row * p.topLogprobStride + i] =
        exists ? static_cast<float>(logitOfRank(rank) - logSumExp) : -CUDART_INF_F;
  }
  __syncthreads();
}

__device__ void sampleRow(const pw_gpu_sample_params& p, int row, Shared& shared) {
  char* memory = p.workspace.data + blockIdx.x * p.workspace.bytes;
  auto* sums = reinterpret_cast<float*>(memory);
  const LogitsRow given = rowOf(p.logits, row);
  const Request request = loadRequest(p.sampling, row, given.size);
  if (!request.valid) {
    if (threadIdx.x == 0) pw_gpu_report(p.error, PW_INVALID_ARGUMENT, row, 0);
    return writeNothing(p, row);
  }
  const float scale = request.scale();
  const bool reports = p.logprobs || p.topIds;
  RowRange range{};
  LogitsRow logits = given;
  double denominator = 0;
  if (reports) {
    range = scanRow(given, 1.0f, sums, shared);
    denominator = range.max + log(range.weight);
    if (p.topIds && range.valid) writeTop(p, row, given, range, sums, denominator, shared);
  }
  if (request.isPenalized() && request.historyLength > 0) {
    auto* copy = reinterpret_cast<float*>(memory + p.workspace.logitsAt);
    const int wrong =
        penalize(given, copy, request, nullptr, 0, reinterpret_cast<int32_t*>(memory + p.workspace.countsAt));
    if (wrong >= 0) {
      if (threadIdx.x == 0) pw_gpu_report(p.error, PW_INVALID_TOKEN, row, wrong);
      return writeNothing(p, row);
    }
    logits = {reinterpret_cast<const char*>(copy), given.size, PW_F32, 1};
  }
  // Finding the most probable tokens may have overwritten the sums.
  if (!reports || logits.data != given.data || (scale != 0.0f && (scale != 1.0f || p.topIds)))
    range = scanRow(logits, scale, sums, shared);
  if (!range.valid) {
    if (threadIdx.x == 0) pw_gpu_report(p.error, PW_INVALID_LOGITS, row, 0);
    return writeNothing(p, row);
  }
  const TargetDistribution d = makeDistribution(logits, range, request, sums, shared);
  const int token = draw(d, uniformOf(request, PW_DRAW_SAMPLE, request.offset), shared);
  if (threadIdx.x != 0) return;
  writeInteger(p.ids, row, token);
  if (p.logprobs) p.logprobs[row * p.logprobStride] = static_cast<float>(given[token] - denominator);
}

}  // namespace
}  // namespace sampling
}  // namespace pw

extern "C" __global__ void __launch_bounds__(512, 1) pw_sample(const __grid_constant__ pw_gpu_sample_params p) {
  __shared__ pw::sampling::Shared shared;
  for (int row = static_cast<int>(blockIdx.x); row < p.rows; row += static_cast<int>(gridDim.x)) {
    pw::sampling::sampleRow(p, row, shared);
    __syncthreads();
  }
}
