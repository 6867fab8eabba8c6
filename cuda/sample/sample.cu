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
__device__ __noinline__ void writeTop(const pw_gpu_sample_params& p, int row, int listed, double logSumExp,
                                      const Shared& shared) {
  for (int i = static_cast<int>(threadIdx.x); i < p.topCount; i += static_cast<int>(blockDim.x)) {
    const bool exists = i < listed;
    const uint64_t rank = exists ? shared.ranks[i] : 0;
    p.topIds[row * p.topIdStride + i] = exists ? tokenOfRank(rank) : -1;
    p.topLogprobs[row * p.topLogprobStride + i] =
        exists ? static_cast<float>(logitOfRank(rank) - logSumExp) : -CUDART_INF_F;
  }
  __syncthreads();
}

/// The most probable tokens as they are before penalties, by a reading of their own.
/// @returns the log-sum-exp of the row
__device__ __noinline__ double writeTopAsGiven(const pw_gpu_sample_params& p, int row, float* sums, Shared& shared) {
  double logSumExp = 0;
  const RowRange range = scanRow(rowOf(p.logits, row), {0.0f, p.topCount, false}, sums, &logSumExp, shared);
  if (range.valid) writeTop(p, row, range.listed, logSumExp, shared);
  return logSumExp;
}

__device__ void sampleRow(const pw_gpu_sample_params& p, int row, Shared& shared) {
  char* memory = p.workspace.data + blockIdx.x * p.workspace.bytes;
  auto* sums = reinterpret_cast<float*>(memory);
  LogitsRow logits = rowOf(p.logits, row);
  const Request request = loadRequest(p.sampling, row, logits.size);
  if (!request.valid) {
    if (threadIdx.x == 0) pw_gpu_report(p.error, PW_INVALID_ARGUMENT, row, 0);
    return writeNothing(p, row);
  }
  if (request.isPenalized() && request.historyLength > 0) {
    const int wrong = penalize(logits, request, nullptr, 0, penaltyMemory(p.workspace, memory));
    if (wrong >= 0) {
      if (threadIdx.x == 0) pw_gpu_report(p.error, PW_INVALID_TOKEN, row, wrong);
      return writeNothing(p, row);
    }
  }
  const bool apart = p.topIds && logits.changed;
  double logSumExp = apart ? writeTopAsGiven(p, row, sums, shared) : 0.0;
  const Wanted wanted{request.scale(), max(request.listed(), p.topIds && !apart ? p.topCount : 0), false};
  const bool reports = !apart && (p.logprobs || p.topIds);
  const RowRange range = scanRow(logits, wanted, sums, reports ? &logSumExp : nullptr, shared);
  if (!range.valid) {
    if (threadIdx.x == 0) pw_gpu_report(p.error, PW_INVALID_LOGITS, row, 0);
    return writeNothing(p, row);
  }
  if (p.topIds && !apart) writeTop(p, row, range.listed, logSumExp, shared);
  const TargetDistribution d = makeDistribution(logits, range, request, sums, shared);
  const int token = draw(d, uniformOf(request, PW_DRAW_SAMPLE, request.offset), shared);
  if (threadIdx.x != 0) return;
  writeInteger(p.ids, row, token);
  if (p.logprobs) p.logprobs[row * p.logprobStride] = static_cast<float>(logits.given(token) - logSumExp);
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
