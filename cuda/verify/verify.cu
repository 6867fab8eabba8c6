// SPDX-License-Identifier: Apache-2.0
/// @file Verification, a thread block per request: it walks down the draft and reads only the rows that it comes to.
///
/// Each of these is read once (without filters: see sample/distribution.cuh), the draft's like the target's. The rows
/// of the last node are read again when a child was rejected there: once for the residual, of a sampled draft once per
/// rejected child, since the next one is judged by what is left; so are those of a node with an accepted child after
/// rejected ones. Further passes: PW_VERIFY_K_SEQ solves for its ratio in at most 22, PW_VERIFY_BLOCK sums the residual
/// of each sampled row and opens the row that it ends with again, PW_VERIFY_TYPICAL sums the entropy of each row that
/// it judges, and both criteria open the last row again.
#include "verify/rules.cuh"

namespace pw {
namespace sampling {
namespace {

__device__ void verifyRequest(const pw_gpu_verify_params& p, int request, Shared& shared) {
  DraftTree tree;
  if (!loadDraft(p, request, tree)) return;
  const VerifyMemory memory = memoryOf(p);
  RowError error = RowError::kNone;
  if (p.rule == PW_VERIFY_BLOCK)
    error = verifyBlock(p, tree, memory, shared);
  else if (p.rule == PW_VERIFY_TYPICAL || p.rule == PW_VERIFY_THRESHOLD)
    error = verifyByCriterion(p, tree, memory, shared);
  else
    error = walkDown(p, tree, memory, shared);
  if (error == RowError::kNone) return;
  clearOutputs(p, request);
  if (threadIdx.x == 0)
    pw_gpu_report(p.error, error == RowError::kLogits ? PW_INVALID_LOGITS : PW_INVALID_TOKEN, request, 0);
}

}  // namespace
}  // namespace sampling
}  // namespace pw

extern "C" __global__ void __launch_bounds__(512, 1) pw_verify(const __grid_constant__ pw_gpu_verify_params p) {
  __shared__ pw::sampling::Shared shared;
  for (int request = static_cast<int>(blockIdx.x); request < p.requests; request += static_cast<int>(gridDim.x)) {
    pw::sampling::verifyRequest(p, request, shared);
    __syncthreads();
  }
}
