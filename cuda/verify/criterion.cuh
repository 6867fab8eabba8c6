// SPDX-License-Identifier: Apache-2.0
/// @file Acceptance by a criterion on the target's probability alone (csrc/cpu/verify/lossy.inl).
#pragma once
#include "verify/draft.cuh"

namespace pw {
namespace sampling {

/// Keeps the deepest node all of whose ancestors and itself meet the criterion.
__device__ __noinline__ inline RowError verifyByCriterion(const pw_gpu_verify_params& a, const DraftTree& tree,
                                                          const VerifyMemory& memory, Shared& shared) {
  Rows rows(a, tree, memory, shared);
  int32_t* depths = memory.walk;                                        // of the nodes, -1 for the unacceptable ones
  auto* logprobs = reinterpret_cast<float*>(memory.walk + tree.nodes);  // of the acceptable ones
  for (int i = static_cast<int>(threadIdx.x); i < tree.nodes; i += static_cast<int>(blockDim.x)) depths[i] = -1;
  __syncthreads();
  int best = kRoot, deepest = 0;
  for (int parent = kRoot; parent < tree.nodes; ++parent) {
    const int depth = parent == kRoot ? 0 : depths[parent];
    if (depth < 0) continue;
    bool open = false;
    double least = -1.0;  // of the typical criterion, when it is needed
    for (int child = parent + 1; child < tree.nodes; ++child) {
      if (tree.parentOf(child) != parent || tree.tokens[child] < 0) continue;
      if (!open) {
        const int length = tree.pathTo(parent, memory.path);
        if (const RowError error = rows.openTarget(parent, memory.path, length); error != RowError::kNone) return error;
        open = true;
      }
      const double p = rows.p().probability(tree.tokens[child]);
      bool accepted = a.rule == PW_VERIFY_THRESHOLD ? p >= a.threshold : p > a.threshold;
      if (!accepted && a.rule == PW_VERIFY_TYPICAL) {
        if (least < 0.0) least = static_cast<float>(a.delta * exp(-entropyOf(rows.p(), memory.residual, shared)));
        accepted = p > least;
      }
      if (!accepted) continue;
      __syncthreads();
      if (threadIdx.x == 0) {
        depths[child] = depth + 1;
        if (a.logprobs.data) logprobs[child] = rows.logprob(tree.tokens[child]);
      }
      __syncthreads();
      if (depth + 1 > deepest) {
        deepest = depth + 1;
        best = child;
      }
      if (!tree.parents) break;
    }
  }
  if (a.logprobs.data && threadIdx.x == 0)
    for (int node = best, depth = deepest; node != kRoot; node = tree.parentOf(node))
      rowAt<float>(a.logprobs, tree.request)[--depth] = logprobs[node];
  if (!rows.shows(best)) {
    const int length = tree.pathTo(best, memory.path);
    if (const RowError error = rows.openTarget(best, memory.path, length); error != RowError::kNone) return error;
  }
  const int last = draw(rows.p(), residualCoin(tree, deepest), shared);
  rows.emit(last);
  finishDraft(a, tree, best, last);
  return RowError::kNone;
}

}  // namespace sampling
}  // namespace pw
