// SPDX-License-Identifier: Apache-2.0
/// @file The rules that walk down from the root, one accepted child after the other.
#pragma once
#include "cpu/verify/rows.inl"
#include "cpu/verify/transport.inl"

namespace pw::cpu::PW_ISA {
namespace {

/// Judges the children of one node by recursive rejection.
class RecursiveRejection {
 public:
  RecursiveRejection(const Rows& rows, bool distinct, const VerifyMemory& memory)
      : rows_(rows), distinct_(distinct), memory_(memory), left_{&rows.p(), rows.q()} {
    left_.rejected = memory.rejected;
  }

  /// Whether `token` is accepted with this coin; if not, the target is what is left of it.
  bool judge(int32_t token, double coin) {
    // What was left before the last rejection is more than what is: a reading saved where that decides already.
    if (stale_ && accepts(token, coin)) return true;
    settle();
    if (accepts(token, coin)) return true;
    reject(token);
    return false;
  }

  /// Draws from what is left.
  int64_t drawLast(double coin) {
    if (left_.rejectedCount == 0 || rows_.p().only >= 0) return draw(rows_.p(), coin);
    return drawResidual(left_, memory_.residual, sumResidual(left_, memory_.residual), coin);
  }

 private:
  /// The unnormalised weight of a token in what is left; `mass_` is their sum.
  double weight(int32_t token) const {
    for (int64_t i = 0; i < left_.rejectedCount; ++i)
      if (left_.rejected[i] == token) return 0.0;
    const double p = probability(rows_.p(), token);
    if (rows_.p().only >= 0 || !rows_.q()) return p;
    return fmax(0.0, p - static_cast<double>(left_.take) * rows_.draftProbability(token));
  }

  /// A token that the draft cannot have drawn is no draw from q: rejected. The coin is below 1, so r = q accepts.
  bool accepts(int32_t token, double coin) const {
    const double q = rows_.draftProbability(token) / undrawn_;
    return q > 0.0 && coin * fmin(q, 1.0) * mass_ < weight(token);
  }

  void reject(int32_t token) {
    if (rows_.p().only >= 0) return;  // a single token stays what it is
    if (!rows_.q()) mass_ = fmax(mass_ - weight(token), 0.0);
    memory_.rejected[left_.rejectedCount++] = token;
    if (!rows_.q()) return;
    left_.take += static_cast<float>(mass_ / undrawn_);
    if (distinct_) undrawn_ = fmax(undrawn_ - rows_.draftProbability(token), 1e-12);
    stale_ = true;
  }

  /// Sums what is left, when it is needed.
  void settle() {
    if (stale_) mass_ = sumResidual(left_, memory_.residual);
    stale_ = false;
  }

  const Rows& rows_;
  const bool distinct_;
  const VerifyMemory& memory_;
  Residual left_;
  double mass_ = 1;
  double undrawn_ = 1;  ///< the share of q that siblings have not drawn
  bool stale_ = false;
};

/// Judges the children of one node as k candidates of one transport (k-SEQ). Its ratio lies between 1 and k, and is
/// solved for when that does not decide already.
class OptimalTransport {
 public:
  OptimalTransport(const Rows& rows, int64_t candidates, const VerifyMemory& memory)
      : rows_(rows),
        memory_(memory),
        left_{&rows.p(), rows.q()},
        candidates_(static_cast<double>(candidates)),
        solved_(candidates == 0 || rows.p().only >= 0) {}

  bool judge(int32_t token, double coin) {
    const double q = rows_.draftProbability(token), p = probability(rows_.p(), token);
    if (!(q > 0.0) || !(coin * q < p)) return false;
    if (coin * q * candidates_ < p) return true;
    solve();
    return coin * q * ratio_ < p;
  }

  int64_t drawLast(double coin) {
    solve();
    if (!(left_.take > 0.0f)) return draw(rows_.p(), coin);
    return drawResidual(left_, memory_.residual, sumResidual(left_, memory_.residual), coin);
  }

 private:
  void solve() {
    if (solved_) return;
    solved_ = true;
    left_.cap = left_.take = 1.0f;
    if (candidates_ == 1.0) return;
    const Transport found = solveTransport(rows_.p(), *rows_.q(), candidates_);
    ratio_ = found.ratio;
    left_.cap = static_cast<float>(1.0 / ratio_);
    left_.take = found.one > 0.0 ? static_cast<float>(someOf(found.one, candidates_) / found.one) : 0.0f;
  }

  const Rows& rows_;
  const VerifyMemory& memory_;
  Residual left_;
  const double candidates_;
  bool solved_;
  double ratio_ = 1;
};

/// Accepts the token that plain sampling draws.
class Match {
 public:
  Match(const Rows& rows, double coin) : token_(draw(rows.p(), coin)) {}
  bool judge(int32_t token, double) const { return token == token_; }
  int64_t drawLast(double) const { return token_; }

 private:
  int64_t token_;
};

/// Goes down while `judge` accepts a child of the deepest node.
/// @param makeJudge makeJudge(rows, children, depth) prepares the judgement of one node's children
template <class MakeJudge>
RowError walkDown(const pw_verify_args& a, const DraftTree& tree, const VerifyMemory& memory, MakeJudge&& makeJudge) {
  Walk walk(tree, memory.walk);
  Rows rows(a, tree, memory);
  for (;;) {
    const int64_t depth = walk.depth();
    if (const RowError error = rows.openTarget(walk.node(), walk.tokens(), depth); error != RowError::kNone)
      return error;
    const int64_t first = walk.nextChild(kRoot);
    if (first != kRoot && a.rule != PW_VERIFY_MATCH)
      if (const RowError error = rows.openDraft(first, walk.tokens(), depth); error != RowError::kNone) return error;
    int64_t children = 0;
    for (int64_t child = first; child != kRoot; child = walk.nextChild(child)) ++children;
    auto judge = makeJudge(rows, children, depth);
    int64_t child = first;
    for (int64_t round = 0; child != kRoot; child = walk.nextChild(child), ++round)
      if (judge.judge(tree.tokens[child], acceptCoin(tree, depth, round))) break;
    if (child == kRoot) {
      const int64_t last = judge.drawLast(residualCoin(tree, depth));
      rows.emit(last);
      finishDraft(a, tree, walk.node(), walk.tokens(), depth, last);
      return RowError::kNone;
    }
    rows.emit(tree.tokens[child]);
    walk.accept(child);
  }
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
