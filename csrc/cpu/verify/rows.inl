// SPDX-License-Identifier: Apache-2.0
/// @file The rows of a draft under verification: opening their distributions one at a time.
#pragma once
#include "cpu/verify/draft.h"
#include "cpu/verify/residual.inl"

namespace pw::cpu::PW_ISA {
namespace {

/// A worker's memory: the target's row, the draft's row, what is shared by both, sums of the residual, and integers for
/// the walk, the path and the rejected tokens.
struct VerifyMemory {
  RowMemory target, draft;
  Workspace workspace;
  double* residual;
  double* reaches;  ///< of a chain under block verification: the weight with which each row was reached
  int32_t* walk;
  int32_t* path;
  int32_t* rejected;
};

inline int64_t verifyMemoryBytes(int64_t size, int64_t nodes) {
  return 2 * rowMemoryBytes(size) + workspaceBytes(size) + (blockCount(size) + nodes) * 8 + 64 +
         (Walk::memory(nodes) + 2 * nodes) * 4;
}

inline VerifyMemory carveVerifyMemory(char* memory, int64_t size, int64_t nodes) {
  VerifyMemory carved;
  carved.target = carveRow(memory, size);
  carved.draft = carveRow(memory, size);
  carved.workspace = carveWorkspace(memory, size);
  carved.residual = reinterpret_cast<double*>((reinterpret_cast<uintptr_t>(memory) + 63) / 64 * 64);
  carved.reaches = carved.residual + blockCount(size);
  carved.walk = reinterpret_cast<int32_t*>(carved.reaches + nodes);
  carved.path = carved.walk + Walk::memory(nodes);
  carved.rejected = carved.path + nodes;
  return carved;
}

/// The distributions at the node of the tree that is being looked at.
class Rows {
 public:
  Rows(const pw_verify_args& args, const DraftTree& tree, const VerifyMemory& memory)
      : a_(args), tree_(tree), memory_(memory) {}

  const TargetDistribution& p() const { return p_; }
  /// Null for deterministic drafts.
  const TargetDistribution* q() const { return a_.draft_logits.data ? &q_ : nullptr; }

  /// The target's distribution after `node`, whose path is `tokens`.
  RowError openTarget(int64_t node, const int32_t* tokens, int64_t depth) {
    const auto inspect = [&](const float* row, RowRange range) {
      if (a_.logprobs.data) denominator_ = logSumExp(row, rowLength(a_.target_logits), range);
    };
    row_ = tree_.firstTargetRow + 1 + node;
    depth_ = depth;
    return distributionOfRow(a_.target_logits, row_, tree_.target, tokens, depth, memory_.target, memory_.workspace,
                             inspect, &p_);
  }

  /// What the token of `child` was sampled from, after the same tokens.
  RowError openDraft(int64_t child, const int32_t* tokens, int64_t depth) {
    if (!a_.draft_logits.data) return RowError::kNone;
    return distributionOfRow(
        a_.draft_logits, draftRowOf(tree_, child), tree_.draft, tokens, depth, memory_.draft, memory_.workspace,
        [](const float*, RowRange) {}, &q_);
  }

  /// The rows at a node of a chain.
  RowError openBoth(int64_t node) {
    const RowError error = openTarget(node - 1, tree_.tokens, node);
    return error == RowError::kNone ? openDraft(node, tree_.tokens, node) : error;
  }

  /// Is this node's row of the target open?
  bool shows(int64_t node) const { return row_ == tree_.firstTargetRow + 1 + node; }

  double draftProbability(int64_t token) const { return a_.draft_logits.data ? probability(q_, token) : 1.0; }

  /// That of a token after the open row, when log-probabilities are wanted.
  double logprob(int64_t token) const {
    return readElement(rowPointer(a_.target_logits, row_), a_.target_logits.dtype, token) - denominator_;
  }
  /// Reports the log-probability of the token emitted after the open row.
  void emit(int64_t token) const {
    if (a_.logprobs.data) writeLogprob(a_, tree_, depth_, logprob(token));
  }

 private:
  const pw_verify_args& a_;
  const DraftTree& tree_;
  const VerifyMemory& memory_;
  TargetDistribution p_, q_;
  int64_t row_ = -1, depth_ = 0;
  double denominator_ = 0;
};

}  // namespace
}  // namespace pw::cpu::PW_ISA
