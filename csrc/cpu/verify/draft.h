// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/context.h"
#include "cpu/sample/request.h"
#include "pagewarp/verify.h"

namespace pw::cpu {

/// One request's draft and how it is judged.
struct DraftTree {
  int64_t request;
  Request target;          ///< parameters of the target's distribution
  Request draft;           ///< parameters that the draft was sampled with
  const int32_t* tokens;   ///< of the nodes
  const int32_t* parents;  ///< null for a chain
  const int32_t* rows;     ///< rows of the draft's logits; null: consecutive from firstDraftRow
  int64_t nodes;           ///< of a chain, up to the first padding
  int64_t firstTargetRow;
  int64_t firstDraftRow;
};

constexpr int64_t kRoot = -1;  ///< the last committed token

int64_t parentOf(const DraftTree& tree, int64_t node);
/// The row of the draft's logits that a node's token was drawn from.
int64_t draftRowOf(const DraftTree& tree, int64_t node);
/// Writes the tokens from the root's child down to `node`, returns how many: the node's depth.
int64_t pathTo(const DraftTree& tree, int64_t node, int32_t* tokens);

/// A walk down from the root: the accepted nodes, and who comes next.
class Walk {
 public:
  /// Integers of memory that the walk of a draft needs, for `nodes` drafted tokens.
  static int64_t memory(int64_t nodes) { return 2 * nodes; }

  Walk(const DraftTree& tree, int32_t* memory);

  int64_t depth() const { return depth_; }
  /// The deepest accepted node.
  int64_t node() const { return node_; }
  /// The accepted tokens.
  const int32_t* tokens() const { return tokens_; }
  /// The child after `previous` (kRoot: the first) of the deepest node, or of one with the same tokens; kRoot when
  /// there is none.
  int64_t nextChild(int64_t previous) const;
  /// Goes down to `child`, and to the siblings with the same token.
  void accept(int64_t child);

 private:
  const DraftTree& tree_;
  int32_t* levels_;  ///< depth + 1 of the nodes whose tokens are the accepted ones
  int32_t* tokens_;
  int64_t depth_ = 0;
  int64_t node_ = kRoot;
};

/// What a failed request leaves: nothing accepted, token -1, its position unmoved.
void clearOutputs(const pw_verify_args& args, int64_t index);

/// Clears the outputs of request `index` and reads it.
/// @returns false, after context.fail, when the draft does not fit the outputs, is no tree or has an invalid token
bool loadDraft(const pw_verify_args& args, int64_t index, DraftTree* tree, Context& context);

/// Writes the outputs of a request that keeps the tokens down to `node`, followed by `last`.
/// @param tokens those down to the node, `accepted` of them
void finishDraft(const pw_verify_args& args, const DraftTree& tree, int64_t node, const int32_t* tokens,
                 int64_t accepted, int64_t last);

/// The log-probability of the token emitted at depth `at`.
void writeLogprob(const pw_verify_args& args, const DraftTree& tree, int64_t at, double logprob);

/// The request's coin that decides about the `round`-th child of a node of depth `depth`.
double acceptCoin(const DraftTree& tree, int64_t depth, int64_t round);
/// The number with which plain sampling draws the token after `depth` accepted ones.
double sampleCoin(const DraftTree& tree, int64_t depth);
/// The number that draws the token after `depth` accepted ones.
double residualCoin(const DraftTree& tree, int64_t depth);

}  // namespace pw::cpu
