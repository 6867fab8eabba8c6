// SPDX-License-Identifier: Apache-2.0
/// @file Block verification of a chain (csrc/cpu/verify/block.inl).
#pragma once
#include "verify/draft.cuh"

namespace pw {
namespace sampling {

/// What a block reached with weight `reach` can still make up for at the open row.
__device__ inline Residual blockResidual(const Rows& rows, float reach, int drafted) {
  __syncthreads();
  if (threadIdx.x == 0) rows.scratch()[0] = drafted;
  __syncthreads();
  // A deterministic draft puts all of q on one token, of which nothing is left.
  return {&rows.p(), rows.q(), reach, 1.0f, CUDART_INF_F, rows.scratch(), rows.q() ? 0 : 1};
}

/// The longest prefix whose coin says so is kept: on the way down each row is read for the weight with which its block
/// is reached, and on the way up again, from the longest prefix on, for what that can still make up for.
__device__ __noinline__ inline RowError verifyBlock(const pw_gpu_verify_params& a, const DraftTree& tree,
                                                    const VerifyMemory& memory, Shared& shared) {
  Rows rows(a, tree, memory, shared);
  double reach = 1.0;
  int kept = 0;  // rows that have been opened, at first
  for (; kept < tree.nodes && reach > 0.0; ++kept) {
    if (const RowError error = rows.openBoth(kept); error != RowError::kNone) return error;
    const int token = tree.tokens[kept];
    rows.emit(token);
    rows.save(kept, reach);
    const double q = rows.draftProbability(token);
    reach = q > 0.0 ? fmin(1.0, reach * rows.p().probability(token) / q) : 0.0;
  }
  double total = -1.0;  // of the kept row's residual, when it has been summed
  if (kept < tree.nodes || !(reach > 0.0) || !(acceptCoin(tree, kept - 1, 0) < reach)) {
    for (--kept; kept > 0; --kept) {
      rows.restore(kept, &reach);
      const int token = tree.tokens[kept];
      const double coin = acceptCoin(tree, kept - 1, 0);
      const auto succeeds = [&](double missing) { return coin * (missing + 1.0 - reach) < missing; };
      // At least the drafted token's share of q is not missing.
      const double missing = reach - fmin(reach * rows.p().probability(token), rows.draftProbability(token));
      if (!succeeds(missing)) continue;
      if (!rows.q()) break;
      total = sumResidual(blockResidual(rows, static_cast<float>(reach), token), memory.residual, shared);
      if (succeeds(total)) break;
    }
  }
  int last = 0;
  if (tree.nodes == kept) {
    if (const RowError error = rows.openTarget(kept - 1, tree.tokens, kept); error != RowError::kNone) return error;
    last = draw(rows.p(), residualCoin(tree, kept), shared);
  } else {
    if (kept == 0) rows.restore(0, &reach);
    if (rows.p().only >= 0) {
      last = rows.p().only;
    } else {
      const Residual residual = blockResidual(rows, static_cast<float>(reach), tree.tokens[kept]);
      if (!rows.q()) rows.sumTarget();
      if (kept == 0 || !rows.q()) total = sumResidual(residual, memory.residual, shared);
      if (!(total > 0.0)) rows.sumTarget();  // to be drawn from instead: p = q up to rounding
      last = drawResidual(residual, memory.residual, total, residualCoin(tree, kept), shared);
    }
  }
  __syncthreads();
  if (a.logprobs.data && threadIdx.x == 0)
    for (int i = kept; i <= tree.nodes; ++i) rowAt<float>(a.logprobs, tree.request)[i] = 0.0f;
  rows.emit(last);
  finishDraft(a, tree, kept - 1, last);
  return RowError::kNone;
}

}  // namespace sampling
}  // namespace pw
