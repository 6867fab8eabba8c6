// SPDX-License-Identifier: Apache-2.0
/// @file Acceptance by a criterion on the target's probability alone.
#pragma once
#include "cpu/verify/rows.inl"

namespace pw::cpu::PW_ISA {
namespace {

/// Judges the tokens after one row by their probabilities. The entropy is computed when it is needed.
class Criterion {
 public:
  Criterion(const pw_verify_args& a, const TargetDistribution& p) : a_(a), p_(p) {}

  bool judge(int32_t token) {
    const double p = probability(p_, token);
    if (a_.rule == PW_VERIFY_THRESHOLD) return p >= a_.threshold;
    if (p > a_.threshold) return true;
    if (typical_ < 0.0f) typical_ = static_cast<float>(a_.delta * std::exp(-entropyOf(p_)));
    return p > typical_;
  }

 private:
  const pw_verify_args& a_;
  const TargetDistribution& p_;
  float typical_ = -1.0f;
};

/// Keeps the deepest node all of whose ancestors and itself meet the criterion.
inline RowError verifyByCriterion(const pw_verify_args& a, const DraftTree& tree, const VerifyMemory& memory) {
  Rows rows(a, tree, memory);
  int32_t* depths = memory.walk;                                        // of the nodes, -1 for the unacceptable ones
  auto* logprobs = reinterpret_cast<float*>(memory.walk + tree.nodes);  // of the acceptable ones
  for (int64_t node = 0; node < tree.nodes; ++node) depths[node] = -1;
  int64_t best = kRoot, deepest = 0;
  for (int64_t parent = kRoot; parent < tree.nodes; ++parent) {
    const int32_t depth = parent == kRoot ? 0 : depths[parent];
    if (depth < 0) continue;
    Criterion criterion(a, rows.p());
    for (int64_t child = parent + 1; child < tree.nodes; ++child) {
      if (parentOf(tree, child) != parent || tree.tokens[child] < 0) continue;
      if (!rows.shows(parent)) {
        const RowError error = rows.openTarget(parent, memory.path, pathTo(tree, parent, memory.path));
        if (error != RowError::kNone) return error;
      }
      if (!criterion.judge(tree.tokens[child])) continue;
      depths[child] = depth + 1;
      if (a.logprobs.data) logprobs[child] = static_cast<float>(rows.logprob(tree.tokens[child]));
      if (depth + 1 > deepest) {
        deepest = depth + 1;
        best = child;
      }
      if (!tree.parents) break;  // a chain has one child
    }
  }
  pathTo(tree, best, memory.path);
  if (a.logprobs.data)
    for (int64_t node = best, depth = deepest; node != kRoot; node = parentOf(tree, node))
      writeLogprob(a, tree, --depth, logprobs[node]);
  if (!rows.shows(best)) {
    const RowError error = rows.openTarget(best, memory.path, deepest);
    if (error != RowError::kNone) return error;
  }
  const int64_t last = draw(rows.p(), residualCoin(tree, deepest));
  rows.emit(last);
  finishDraft(a, tree, best, memory.path, deepest, last);
  return RowError::kNone;
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
