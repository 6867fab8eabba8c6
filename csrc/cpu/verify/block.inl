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

/// The longest prefix whose coin says so is kept: on the way down each row is read for the weight with which its block
/// is reached (the joint ratio of target and draft up to a token, capped at 1 on the way), and on the way up again,
/// from the longest prefix on, for what that can still make up for.
inline RowError verifyBlock(const pw_verify_args& a, const DraftTree& tree, const VerifyMemory& memory) {
  Rows rows(a, tree, memory);
  double reach = 1.0;
  int64_t kept = 0;  // rows that have been opened, at first
  for (; kept < tree.nodes && reach > 0.0; ++kept) {
    if (const RowError error = rows.openBoth(kept); error != RowError::kNone) return error;
    const int32_t token = tree.tokens[kept];
    rows.emit(token);
    memory.reaches[kept] = reach;
    const double q = rows.draftProbability(token);
    reach = q > 0.0 ? fmin(1.0, reach * probability(rows.p(), token) / q) : 0.0;
  }
  double total = -1.0;  // of the kept row's residual, when it has been summed
  Residual residual;
  if (kept < tree.nodes || !(reach > 0.0) || !(acceptCoin(tree, kept - 1, 0) < reach)) {
    for (--kept; kept > 0; --kept) {
      if (!rows.shows(kept - 1))
        if (const RowError error = rows.openBoth(kept); error != RowError::kNone) return error;
      reach = memory.reaches[kept];
      const int32_t token = tree.tokens[kept];
      const double coin = acceptCoin(tree, kept - 1, 0);
      const auto succeeds = [&](double missing) { return coin * (missing + 1.0 - reach) < missing; };
      // At least the drafted token's share of q is not missing.
      const double missing = reach - fmin(reach * probability(rows.p(), token), rows.draftProbability(token));
      if (!succeeds(missing)) continue;
      if (!rows.q()) break;
      total = blockResidual(rows, static_cast<float>(reach), token, memory, &residual);
      if (succeeds(total)) break;
    }
  }
  int64_t last = 0;
  if (kept == tree.nodes) {
    if (const RowError error = rows.openTarget(kept - 1, tree.tokens, kept); error != RowError::kNone) return error;
    last = draw(rows.p(), residualCoin(tree, kept));
  } else {
    if (kept == 0) {
      reach = 1.0;
      if (!rows.shows(kRoot))
        if (const RowError error = rows.openBoth(0); error != RowError::kNone) return error;
    }
    if (rows.p().only >= 0) {
      last = rows.p().only;
    } else {
      if (kept == 0 || !rows.q())
        total = blockResidual(rows, static_cast<float>(reach), tree.tokens[kept], memory, &residual);
      last = drawResidual(residual, memory.residual, total, residualCoin(tree, kept));
    }
  }
  rows.emit(last);
  for (int64_t i = kept + 1; i <= tree.nodes; ++i) writeLogprob(a, tree, i, 0.0);
  finishDraft(a, tree, kept - 1, tree.tokens, kept, last);
  return RowError::kNone;
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
