// SPDX-License-Identifier: Apache-2.0
/// @file Acceptance by a criterion on the target's probability alone.
#pragma once
#include "cpu/verify/rows.inl"

namespace pw::cpu::PW_ISA {
namespace {

inline float acceptedProbability(const pw_verify_args& a, const TargetDistribution& p) {
  if (a.rule == PW_VERIFY_THRESHOLD) return a.threshold;
  const double typical = a.delta * std::exp(-entropyOf(p));
  return typical < a.threshold ? static_cast<float>(typical) : a.threshold;
}

/// Keeps the deepest node all of whose ancestors and itself meet the criterion.
inline RowError verifyByCriterion(const pw_verify_args& a, const DraftTree& tree, const VerifyMemory& memory) {
  Rows rows(a, tree, memory);
  int32_t* depths = memory.walk;  // of the nodes, -1 for the unacceptable ones
  for (int64_t node = 0; node < tree.nodes; ++node) depths[node] = -1;
  int64_t best = kRoot, deepest = 0;
  for (int64_t parent = kRoot; parent < tree.nodes; ++parent) {
    const int32_t depth = parent == kRoot ? 0 : depths[parent];
    if (depth < 0) continue;
    bool open = false;
    float least = 0;
    for (int64_t child = parent + 1; child < tree.nodes; ++child) {
      if (parentOf(tree, child) != parent || tree.tokens[child] < 0) continue;
      if (!open) {
        const RowError error = rows.openTarget(parent, memory.path, pathTo(tree, parent, memory.path));
        if (error != RowError::kNone) return error;
        least = acceptedProbability(a, rows.p());
        open = true;
      }
      const double p = probability(rows.p(), tree.tokens[child]);
      if (!(a.rule == PW_VERIFY_THRESHOLD ? p >= least : p > least)) continue;
      depths[child] = depth + 1;
      if (depth + 1 > deepest) {
        deepest = depth + 1;
        best = child;
      }
      if (!tree.parents) break;  // a chain has one child
    }
  }
  pathTo(tree, best, memory.path);
  for (int64_t depth = 0; a.logprobs.data && depth < deepest; ++depth) {
    int64_t node = best;
    for (int64_t up = deepest; up > depth; --up) node = parentOf(tree, node);
    const RowError error = rows.openTarget(node, memory.path, depth);
    if (error != RowError::kNone) return error;
    rows.emit(memory.path[depth]);
  }
  const RowError error = rows.openTarget(best, memory.path, deepest);
  if (error != RowError::kNone) return error;
  const int64_t last = draw(rows.p(), residualCoin(tree, deepest));
  rows.emit(last);
  finishDraft(a, tree, best, memory.path, deepest, last);
  return RowError::kNone;
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
