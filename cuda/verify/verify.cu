// SPDX-License-Identifier: Apache-2.0
/// @file Verification, a thread block per request: it walks down the draft and reads only the rows that it comes to.
///
/// Each of these is read once, the draft's like the target's and whatever is wanted of it (penalties, filters, entropy,
/// log-probabilities), and the rows that a sampled draft is rejected at are read once more; where the draft is
/// deterministic only the rejected tokens' blocks are. What goes beyond that is what cannot be known from one reading,
/// since both rows' sums must be known before one is held against the other:
/// - Filters that leave more tokens of a row than can be listed: sample/distribution.cuh.
/// - Of siblings drawn by chance each is judged by what is left after the one before: a reading of both rows for every
///   rejected one, the last one's included, unless what was left before that decides already.
/// - PW_VERIFY_K_SEQ: one reading of both rows for the ratio, which depends on all tokens, unless a coin is beyond
/// doubt
///   whatever the ratio.
/// - PW_VERIFY_BLOCK: the rows from the one on that the draft is rejected at, unless a coin is beyond doubt. What a
///   prefix can make up for depends on both of its rows, and the longest prefix that succeeds counts.
/// - PW_VERIFY_TYPICAL and PW_VERIFY_THRESHOLD open the last row of a tree again when others came after it.
#include "verify/block.cuh"
#include "verify/criterion.cuh"
#include "verify/walk.cuh"

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
