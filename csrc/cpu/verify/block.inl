// SPDX-License-Identifier: Apache-2.0
/// @file Block verification of a chain.
#pragma once
#include "cpu/verify/rows.inl"

namespace pw::cpu::PW_ISA {
namespace {

/// The sum of relu(reach p - q): what the row can still make up for, when its block was reached with weight `reach`.
inline double blockResidual(const Rows& rows, float reach, int64_t drafted, const VerifyMemory& memory, Residual* out) {
  *out = {&rows.p(), rows.q()};
  out->keep = reach;
  out->take = 1.0f;
  memory.rejected[0] = static_cast<int32_t>(drafted);
  out->rejected = memory.rejected;
  // A deterministic draft puts all of q on one token, of which nothing is left.
  if (!rows.q()) out->rejectedCount = 1;
  return sumResidual(*out, memory.residual);
}

/// Keeps the longest prefix whose coin says so. `reach` is the joint ratio of target and draft up to a token, capped at
/// 1 on the way; prefixes are judged from the shortest on and the last success counts.
inline RowError verifyBlock(const pw_verify_args& a, const DraftTree& tree, const VerifyMemory& memory) {
  Rows rows(a, tree, memory);
  double reach = 1.0, keptReach = 1.0;
  int64_t kept = 0;
  for (int64_t i = 0; i < tree.nodes; ++i) {
    RowError error = rows.openTarget(i - 1, tree.tokens, i);
    if (error == RowError::kNone) error = rows.openDraft(i, tree.tokens, i);
    if (error != RowError::kNone) return error;
    const int32_t token = tree.tokens[i];
    if (i > 0) {
      Residual residual;
      const double missing = rows.q() ? blockResidual(rows, static_cast<float>(reach), token, memory, &residual)
                                      : reach * (1.0 - probability(rows.p(), token));
      const double doubt = missing + 1.0 - reach;
      if (doubt > 0.0 && acceptCoin(tree, i - 1, 0) * doubt < missing) {
        kept = i;
        keptReach = reach;
      }
    }
    rows.emit(token);
    const double q = rows.draftProbability(token);
    reach = q > 0.0 ? fmin(1.0, reach * probability(rows.p(), token) / q) : 0.0;
    if (!(reach > 0.0)) break;
    if (i + 1 == tree.nodes && acceptCoin(tree, i, 0) < reach) kept = tree.nodes;
  }
  RowError error = rows.openTarget(kept - 1, tree.tokens, kept);
  if (error == RowError::kNone && kept < tree.nodes) error = rows.openDraft(kept, tree.tokens, kept);
  if (error != RowError::kNone) return error;
  int64_t last = 0;
  if (kept == tree.nodes || rows.p().only >= 0) {
    last = draw(rows.p(), residualCoin(tree, kept));
  } else {
    Residual residual;
    const double total = blockResidual(rows, static_cast<float>(keptReach), tree.tokens[kept], memory, &residual);
    last = drawResidual(residual, memory.residual, total, residualCoin(tree, kept));
  }
  rows.emit(last);
  for (int64_t i = kept + 1; i <= tree.nodes; ++i) writeLogprob(a, tree, i, 0.0);
  finishDraft(a, tree, kept - 1, tree.tokens, kept, last);
  return RowError::kNone;
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
