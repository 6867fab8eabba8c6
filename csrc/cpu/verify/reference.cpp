// SPDX-License-Identifier: Apache-2.0
/// @file The rules by their definitions, on probabilities in float64.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "cpu/rows.h"
#include "cpu/sample/reference_distribution.h"
#include "cpu/verify/candidates.h"
#include "cpu/verify/draft.h"
#include "cpu/verify/verify.h"

namespace pw::cpu::reference {
namespace {

using Probabilities = std::vector<double>;

enum class Failure { kParameters, kLogits, kToken };

void report(Failure failure, Context& context, const char* op, int64_t index, int64_t vocabulary) {
  if (failure == Failure::kParameters) failInvalidParameters(context, op, index);
  if (failure == Failure::kLogits) failInvalidLogits(context, op, index);
  if (failure == Failure::kToken) failInvalidToken(context, op, index, "history", vocabulary);
}

/// A row's probabilities after a request's history and further tokens; `raw` receives the logits before penalties.
Probabilities probabilitiesOfRow(const pw_tensor& logits, int64_t row, const Request& request, const int32_t* tokens,
                                 int64_t length, std::vector<float>* raw = nullptr) {
  if (!request.valid) throw Failure::kParameters;
  std::vector<float> values = readLogits(logits, row);
  if (!validLogits(values)) throw Failure::kLogits;
  if (raw) *raw = values;
  if (isPenalized(request)) {
    std::vector<int32_t> counts(values.size());
    if (!applyPenalties(values.data(), rowLength(logits), request, tokens, length, counts.data()))
      throw Failure::kToken;
  }
  return targetProbabilities(values, request);
}

double sum(const Probabilities& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

/// Scaled to sum to one; false when there is nothing to scale.
bool normalize(Probabilities* values) {
  const double total = sum(*values);
  if (!(total > 0)) return false;
  for (double& value : *values) value /= total;
  return true;
}

/// relu(keep p - q), unnormalised.
Probabilities excess(double keep, const Probabilities& p, const Probabilities& q) {
  Probabilities left(p.size());
  for (size_t i = 0; i < p.size(); ++i) left[i] = std::max(0.0, keep * p[i] - q[i]);
  return left;
}

Probabilities oneHot(size_t size, int64_t token) {
  Probabilities p(size, 0.0);
  p[static_cast<size_t>(token)] = 1.0;
  return p;
}

class Verification {
 public:
  Verification(const pw_verify_args& args, const DraftTree& tree) : a_(args), tree_(tree) {}

  void run() {
    switch (a_.rule) {
      case PW_VERIFY_BLOCK:
        return block();
      case PW_VERIFY_TYPICAL:
      case PW_VERIFY_THRESHOLD:
        return byCriterion();
      default:
        return walkDown();
    }
  }

 private:
  struct Row {
    Probabilities p;
    std::vector<float> logits;
  };

  Row target(int64_t node) const {
    std::vector<int32_t> path(static_cast<size_t>(tree_.nodes) + 1);
    const int64_t depth = pathTo(tree_, node, path.data());
    Row row;
    row.p = probabilitiesOfRow(a_.target_logits, tree_.firstTargetRow + 1 + node, tree_.target, path.data(), depth,
                               &row.logits);
    return row;
  }

  /// What a child was drawn from: one-hot for a deterministic draft.
  Probabilities drawnFrom(int64_t child) const {
    std::vector<int32_t> path(static_cast<size_t>(tree_.nodes) + 1);
    const int64_t depth = pathTo(tree_, child, path.data()) - 1;
    if (a_.draft_logits.data)
      return probabilitiesOfRow(a_.draft_logits, draftRowOf(tree_, child), tree_.draft, path.data(), depth);
    return oneHot(static_cast<size_t>(rowLength(a_.target_logits)), tree_.tokens[child]);
  }

  void emit(const Row& row, int64_t depth, int64_t token) const {
    writeLogprob(a_, tree_, depth, row.logits[static_cast<size_t>(token)] - logSumExp(row.logits));
  }

  void finish(int64_t node, int64_t depth, const Row& row, const Probabilities& left) const {
    int64_t last = drawFrom(left, residualCoin(tree_, depth));
    if (last < 0) last = drawFrom(row.p, residualCoin(tree_, depth));
    emit(row, depth, last);
    std::vector<int32_t> path(static_cast<size_t>(tree_.nodes) + 1);
    pathTo(tree_, node, path.data());
    finishDraft(a_, tree_, node, path.data(), depth, last);
  }

  void walkDown() const {
    std::vector<int32_t> memory(static_cast<size_t>(Walk::memory(tree_.nodes)));
    Walk walk(tree_, memory.data());
    for (;;) {
      const Row row = target(walk.node());
      std::vector<int64_t> children;
      for (int64_t child = walk.nextChild(kRoot); child != kRoot; child = walk.nextChild(child))
        children.push_back(child);
      Probabilities left = row.p;
      if (a_.rule == PW_VERIFY_MATCH) {
        const int64_t token = drawFrom(row.p, sampleCoin(tree_, walk.depth()));
        const auto same = [&](int64_t child) { return tree_.tokens[child] == token; };
        const auto match = std::find_if(children.begin(), children.end(), same);
        if (match == children.end()) return finish(walk.node(), walk.depth(), row, oneHot(row.p.size(), token));
        emit(row, walk.depth(), token);
        walk.accept(*match);
        continue;
      }
      const bool transport = a_.rule == PW_VERIFY_K_SEQ && a_.draft_logits.data && !children.empty();
      const int64_t accepted = transport ? judgeAtOnce(children, walk.depth(), row.p, &left)
                                         : judgeInTurn(children, walk.depth(), row.p, &left);
      if (accepted == kRoot) return finish(walk.node(), walk.depth(), row, left);
      emit(row, walk.depth(), tree_.tokens[accepted]);
      walk.accept(accepted);
    }
  }

  /// Recursive rejection; `left` becomes the residual.
  int64_t judgeInTurn(const std::vector<int64_t>& children, int64_t depth, const Probabilities& p,
                      Probabilities* left) const {
    Probabilities q;
    for (size_t round = 0; round < children.size(); ++round) {
      const auto token = static_cast<size_t>(tree_.tokens[children[round]]);
      if (round == 0 || !a_.draft_logits.data) q = drawnFrom(children[round]);
      if (q[token] > 0 && acceptCoin(tree_, depth, static_cast<int64_t>(round)) * q[token] < (*left)[token])
        return children[round];
      if (p[token] < 1.0) {
        *left = excess(1.0, *left, q);
        (*left)[token] = 0;
        if (!normalize(left)) *left = Probabilities(p.size(), 0.0);
      }
      if (a_.distinct) {
        q[token] = 0;
        normalize(&q);
      }
    }
    return kRoot;
  }

  /// k-SEQ.
  int64_t judgeAtOnce(const std::vector<int64_t>& children, int64_t depth, const Probabilities& p,
                      Probabilities* left) const {
    const Probabilities q = drawnFrom(children[0]);
    const auto k = static_cast<double>(children.size());
    const auto one = [&](double ratio) {
      double b = 0;
      for (size_t i = 0; i < p.size(); ++i) b += std::min(q[i], p[i] / ratio);
      return std::min(b, 1.0);
    };
    const auto some = [&](double b) { return 1.0 - std::pow(1.0 - b, k); };
    double ratio = 1.0;
    if (some(one(ratio)) > one(ratio) * (1.0 + 1e-7)) {
      double low = 1.0;
      ratio = k;
      for (int step = 0; step < 20; ++step) {
        const double middle = (low + ratio) / 2;
        (some(one(middle)) <= middle * one(middle) ? ratio : low) = middle;
      }
    }
    for (size_t round = 0; round < children.size(); ++round) {
      const auto token = static_cast<size_t>(tree_.tokens[children[round]]);
      if (q[token] > 0 && acceptCoin(tree_, depth, static_cast<int64_t>(round)) * q[token] * ratio < p[token])
        return children[round];
    }
    const double b = one(ratio), take = b > 0 ? some(b) / b : 0.0;
    for (size_t i = 0; i < p.size(); ++i) (*left)[i] = std::max(0.0, p[i] - take * std::min(q[i], p[i] / ratio));
    return kRoot;
  }

  void block() const {
    const int64_t nodes = tree_.nodes;
    std::vector<double> reach(static_cast<size_t>(nodes) + 1, 1.0);
    int64_t kept = 0;
    for (int64_t i = 1; i <= nodes; ++i) {
      const auto token = static_cast<size_t>(tree_.tokens[i - 1]);
      const Row row = target(i - 2);
      const double q = drawnFrom(i - 1)[token], before = reach[static_cast<size_t>(i - 1)];
      const double now = q > 0 ? std::min(1.0, before * row.p[token] / q) : 0.0;
      reach[static_cast<size_t>(i)] = now;
      emit(row, i - 1, tree_.tokens[i - 1]);
      double chance = now;
      if (i < nodes) {
        const double missing = sum(excess(now, target(i - 1).p, drawnFrom(i)));
        chance = missing + 1.0 - now > 0 ? missing / (missing + 1.0 - now) : 0.0;
      }
      if (acceptCoin(tree_, i - 1, 0) < chance) kept = i;
    }
    for (int64_t i = kept + 1; i <= nodes; ++i) writeLogprob(a_, tree_, i, 0.0);
    const Row row = target(kept - 1);
    if (kept == nodes) return finish(kept - 1, kept, row, row.p);
    finish(kept - 1, kept, row, excess(reach[static_cast<size_t>(kept)], row.p, drawnFrom(kept)));
  }

  void byCriterion() const {
    std::vector<int64_t> depths(static_cast<size_t>(tree_.nodes), -1);
    int64_t best = kRoot, deepest = 0;
    for (int64_t node = 0; node < tree_.nodes; ++node) {
      const int64_t parent = parentOf(tree_, node);
      const int64_t depth = parent == kRoot ? 0 : depths[static_cast<size_t>(parent)];
      if (depth < 0 || tree_.tokens[node] < 0) continue;
      const Probabilities p = target(parent).p;
      double entropy = 0;
      for (double x : p) entropy -= x > 0 ? x * std::log(x) : 0.0;
      const double typical = std::min<double>(a_.threshold, a_.delta * std::exp(-entropy));
      const double chance = p[static_cast<size_t>(tree_.tokens[node])];
      if (!(a_.rule == PW_VERIFY_THRESHOLD ? chance >= a_.threshold : chance > typical)) continue;
      depths[static_cast<size_t>(node)] = depth + 1;
      if (depth + 1 > deepest || (depth + 1 == deepest && parent < parentOf(tree_, best))) {
        deepest = depth + 1;
        best = node;
      }
    }
    for (int64_t node = best, depth = deepest; node != kRoot; node = parentOf(tree_, node))
      emit(target(parentOf(tree_, node)), --depth, tree_.tokens[node]);
    const Row row = target(best);
    finish(best, deepest, row, row.p);
  }

  const pw_verify_args& a_;
  const DraftTree& tree_;
};

}  // namespace

void verify(const pw_verify_args& a, Context& context) {
  for (int64_t b = 0; b < a.accepted_lengths.shape[0]; ++b) {
    DraftTree tree;
    if (!loadDraft(a, b, &tree, context)) continue;
    try {
      Verification(a, tree).run();
    } catch (Failure failure) {
      clearOutputs(a, b);
      report(failure, context, "verify", b, rowLength(a.target_logits));
    }
  }
}

void drawCandidates(const pw_candidates_args& a, Context& context) {
  const int64_t vocabulary = rowLength(a.logits), wanted = a.ids.shape[1];
  for (int64_t row = 0; row < a.logits.shape[0]; ++row) {
    clearCandidates(a, row);
    const Request request = loadRequest(a.sampling, row, vocabulary);
    try {
      const Probabilities q = probabilitiesOfRow(a.logits, row, request, nullptr, 0);
      Probabilities left = q;
      CandidateKeys keys(a, row, request);
      for (int64_t i = 0; i < wanted && sum(left) > 0; ++i) {
        const double undrawn = sum(left);
        const int64_t token = a.kind == PW_CANDIDATES_TOP
                                  ? std::max_element(left.begin(), left.end()) - left.begin()
                                  : drawFrom(left, candidateCoin(a, row, request, PW_DRAW_SAMPLE, i));
        writeCandidate(a, row, i, token, q[static_cast<size_t>(token)]);
        if (a.kind == PW_CANDIDATES_DISTINCT) keys.write(i, undrawn);
        if (a.kind != PW_CANDIDATES_INDEPENDENT) left[static_cast<size_t>(token)] = 0;
      }
    } catch (Failure failure) {
      report(failure, context, "drawCandidates", row, vocabulary);
    }
  }
}

}  // namespace pw::cpu::reference
