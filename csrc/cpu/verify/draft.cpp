// SPDX-License-Identifier: Apache-2.0
#include "cpu/verify/draft.h"

#include <cstring>
#include <string>

#include "cpu/rows.h"

namespace pw::cpu {
namespace {

void failDraft(Context& context, int64_t request, const std::string& what) {
  context.fail(PW_INVALID_ARGUMENT, "verify: request " + std::to_string(request) + " has " + what);
}

/// Whether the parents make a tree that the outputs have room for.
bool checkTree(const DraftTree& tree, int64_t deepest, Context& context) {
  for (int64_t node = 0; node < tree.nodes; ++node) {
    const int64_t parent = tree.parents[node];
    if (parent < kRoot || parent >= node) {
      failDraft(context, tree.request,
                "parent " + std::to_string(parent) + " at node " + std::to_string(node) +
                    " of its tree; -1 or an earlier node is allowed");
      return false;
    }
    int64_t depth = 0;
    for (int64_t n = node; n != kRoot; n = tree.parents[n]) ++depth;
    if (depth > deepest) {
      failDraft(context, tree.request,
                "a tree deeper than the " + std::to_string(deepest) + " tokens that fit its row of the output");
      return false;
    }
  }
  return true;
}

}  // namespace

int64_t parentOf(const DraftTree& tree, int64_t node) { return tree.parents ? tree.parents[node] : node - 1; }

int64_t draftRowOf(const DraftTree& tree, int64_t node) {
  return tree.rows ? tree.rows[node] : tree.firstDraftRow + node;
}

int64_t pathTo(const DraftTree& tree, int64_t node, int32_t* tokens) {
  int64_t depth = 0;
  for (int64_t n = node; n != kRoot; n = parentOf(tree, n)) ++depth;
  int64_t at = depth;
  for (int64_t n = node; n != kRoot; n = parentOf(tree, n)) tokens[--at] = tree.tokens[n];
  return depth;
}

Walk::Walk(const DraftTree& tree, int32_t* memory) : tree_(tree), levels_(memory), tokens_(memory + tree.nodes) {
  std::memset(levels_, 0, static_cast<size_t>(tree.nodes) * sizeof *levels_);
}

int64_t Walk::nextChild(int64_t previous) const {
  if (!tree_.parents) return previous == kRoot && depth_ < tree_.nodes ? depth_ : kRoot;
  for (int64_t node = previous + 1; node < tree_.nodes; ++node) {
    const int64_t parent = tree_.parents[node];
    const bool continues = parent == kRoot ? depth_ == 0 : depth_ > 0 && levels_[parent] == depth_;
    if (continues && tree_.tokens[node] >= 0) return node;
  }
  return kRoot;
}

void Walk::accept(int64_t child) {
  const int32_t token = tree_.tokens[child];
  for (int64_t node = nextChild(kRoot); node != kRoot; node = nextChild(node))
    if (tree_.tokens[node] == token) levels_[node] = static_cast<int32_t>(depth_ + 1);
  tokens_[depth_++] = token;
  node_ = child;
}

void clearOutputs(const pw_verify_args& a, int64_t index) {
  void* tokens = rowPointer(a.tokens, index);
  for (int64_t i = 0; i < a.tokens.shape[1]; ++i) {
    writeElement(tokens, PW_I32, i, -1);
    if (a.logprobs.data) writeElement(rowPointer(a.logprobs, index), PW_F32, i, 0.0);
  }
  if (a.path.data)
    for (int64_t i = 0; i < a.path.shape[1]; ++i) writeElement(rowPointer(a.path, index), PW_I32, i, -1);
  writeInteger(a.accepted_lengths, index, 0);
  writeInteger(a.last_tokens, index, -1);
  if (a.positions.data) writeInteger(a.next_positions, index, readInteger(a.positions, index));
}

bool loadDraft(const pw_verify_args& a, int64_t index, DraftTree* tree, Context& context) {
  clearOutputs(a, index);
  const int64_t vocabulary = rowLength(a.target_logits), deepest = a.tokens.shape[1] - 1;
  const int64_t begin = readInteger(a.draft_indptr, index), end = readInteger(a.draft_indptr, index + 1);
  if (begin < 0 || end < begin || end > a.draft_tokens.shape[0] || (!a.draft_parents.data && end - begin > deepest)) {
    failDraft(context, index,
              "drafted tokens [" + std::to_string(begin) + ", " + std::to_string(end) + ") of " +
                  std::to_string(a.draft_tokens.shape[0]) + "; at most " + std::to_string(deepest) +
                  " in a chain fit its row of the output");
    return false;
  }
  tree->request = index;
  tree->target = loadRequest(a.sampling, index, vocabulary);
  tree->draft =
      a.draft_parameters.data ? withParameters(tree->target, a.draft_parameters, index, vocabulary) : tree->target;
  if (a.rule == PW_VERIFY_GREEDY) tree->target.temperature = 0.0f;
  tree->tokens = static_cast<const int32_t*>(a.draft_tokens.data) + begin;
  tree->parents = a.draft_parents.data ? static_cast<const int32_t*>(a.draft_parents.data) + begin : nullptr;
  tree->rows = a.draft_rows.data ? static_cast<const int32_t*>(a.draft_rows.data) + begin : nullptr;
  tree->firstDraftRow = begin;
  tree->firstTargetRow = begin + index;
  tree->nodes = end - begin;
  for (int64_t node = 0; node < tree->nodes; ++node) {
    const int32_t token = tree->tokens[node];
    if (token < 0 && !tree->parents) {
      tree->nodes = node;
    } else if (token >= vocabulary) {
      failInvalidToken(context, "verify", index, "draft", vocabulary);
      return false;
    } else if (tree->rows && (tree->rows[node] < 0 || tree->rows[node] >= a.draft_logits.shape[0])) {
      failDraft(context, index,
                "draft row " + std::to_string(tree->rows[node]) + " of " + std::to_string(a.draft_logits.shape[0]));
      return false;
    }
  }
  return !tree->parents || checkTree(*tree, deepest, context);
}

void finishDraft(const pw_verify_args& a, const DraftTree& tree, int64_t node, const int32_t* tokens, int64_t accepted,
                 int64_t last) {
  void* out = rowPointer(a.tokens, tree.request);
  for (int64_t i = 0; i < accepted; ++i) writeElement(out, PW_I32, i, tokens[i]);
  writeElement(out, PW_I32, accepted, static_cast<double>(last));
  if (a.path.data) {
    int64_t at = accepted;
    for (int64_t n = node; n != kRoot; n = parentOf(tree, n))
      writeElement(rowPointer(a.path, tree.request), PW_I32, --at, static_cast<double>(n));
  }
  writeInteger(a.accepted_lengths, tree.request, accepted);
  writeInteger(a.last_tokens, tree.request, last);
  if (a.positions.data)
    writeInteger(a.next_positions, tree.request, readInteger(a.positions, tree.request) + accepted + 1);
}

void writeLogprob(const pw_verify_args& a, const DraftTree& tree, int64_t at, double logprob) {
  if (a.logprobs.data) writeElement(rowPointer(a.logprobs, tree.request), PW_F32, at, logprob);
}

double acceptCoin(const DraftTree& tree, int64_t depth, int64_t round) {
  return uniform(tree.target, PW_DRAW_ACCEPT, tree.target.offset + depth, round);
}

double sampleCoin(const DraftTree& tree, int64_t depth) {
  return uniform(tree.target, PW_DRAW_SAMPLE, tree.target.offset + depth);
}

double residualCoin(const DraftTree& tree, int64_t depth) {
  return uniform(tree.target, PW_DRAW_RESIDUAL, tree.target.offset + depth);
}

}  // namespace pw::cpu
