// SPDX-License-Identifier: Apache-2.0
/// @file The rules that walk down from the root, one accepted child after the other (csrc/cpu/verify/walk.inl).
#pragma once
#include "verify/draft.cuh"
#include "verify/transport.cuh"

namespace pw {
namespace sampling {

/// Judges the children of one node by recursive rejection.
class RecursiveRejection {
 public:
  __device__ RecursiveRejection(const Rows& rows, bool distinct)
      : rows_(rows),
        distinct_(distinct),
        left_{&rows.p(), rows.q(), 1.0f, 0.0f, CUDART_INF_F, rows.scratch(), 0},
        mass_(1),
        undrawn_(1),
        stale_(false) {}

  __device__ bool judge(int token, double coin) {
    // What was left before the last rejection is more than what is: a reading saved where that decides already.
    if (stale_ && accepts(token, coin)) return true;
    if (stale_) mass_ = sumResidual(left_, rows_.residual(), rows_.shared());
    stale_ = false;
    if (accepts(token, coin)) return true;
    reject(token);
    return false;
  }

  __device__ int drawLast(double coin) {
    if (left_.rejectedCount == 0 || rows_.p().only >= 0) return draw(rows_.p(), coin, rows_.shared());
    const double total = sumResidual(left_, rows_.residual(), rows_.shared());
    return drawResidual(left_, rows_.residual(), total, coin, rows_.shared());
  }

 private:
  /// The draft's probability of a token among those that its siblings have not drawn.
  __device__ double chance(int token) const { return rows_.draftProbability(token) / undrawn_; }

  __device__ bool accepts(int token, double coin) const {
    const double q = chance(token);
    return q > 0.0 && coin * fmin(q, 1.0) * mass_ < weight(token);
  }

  __device__ double weight(int token) const {
    for (int i = 0; i < left_.rejectedCount; ++i)
      if (left_.rejected[i] == token) return 0.0;
    const double p = rows_.p().probability(token);
    if (rows_.p().only >= 0 || !rows_.q()) return p;
    return fmax(0.0, p - static_cast<double>(left_.take) * rows_.draftProbability(token));
  }

  __device__ void reject(int token) {
    if (rows_.p().only >= 0) return;
    if (!rows_.q()) mass_ = fmax(mass_ - weight(token), 0.0);
    __syncthreads();
    if (threadIdx.x == 0) rows_.scratch()[left_.rejectedCount] = token;
    ++left_.rejectedCount;
    __syncthreads();
    if (!rows_.q()) return;
    left_.take += static_cast<float>(mass_ / undrawn_);
    if (distinct_) undrawn_ = fmax(undrawn_ - rows_.draftProbability(token), 1e-12);
    stale_ = true;
  }

  const Rows& rows_;
  const bool distinct_;
  Residual left_;
  double mass_, undrawn_;
  bool stale_;
};

/// Judges the children of one node as k candidates of one transport (k-SEQ). Its ratio lies between 1 and k, and is
/// solved for when that does not decide already.
class OptimalTransport {
 public:
  __device__ OptimalTransport(const Rows& rows, int candidates)
      : rows_(rows),
        left_{&rows.p(), rows.q(), 1.0f, 0.0f, CUDART_INF_F, nullptr, 0},
        ratio_(1),
        candidates_(candidates),
        solved_(candidates == 0 || rows.p().only >= 0) {}

  __device__ bool judge(int token, double coin) {
    const double q = rows_.draftProbability(token), p = rows_.p().probability(token);
    if (!(q > 0.0) || !(coin * q < p)) return false;
    if (coin * q * candidates_ < p) return true;
    solve();
    return coin * q * ratio_ < p;
  }

  __device__ int drawLast(double coin) {
    solve();
    if (!(left_.take > 0.0f)) return draw(rows_.p(), coin, rows_.shared());
    const double total = sumResidual(left_, rows_.residual(), rows_.shared());
    return drawResidual(left_, rows_.residual(), total, coin, rows_.shared());
  }

 private:
  __device__ void solve() {
    if (solved_) return;
    solved_ = true;
    left_.cap = left_.take = 1.0f;
    if (candidates_ == 1) return;
    const Transport found = solveTransport(rows_.p(), *rows_.q(), candidates_, rows_.shared());
    ratio_ = found.ratio;
    left_.cap = static_cast<float>(1.0 / ratio_);
    left_.take = found.one > 0.0 ? static_cast<float>(someOf(found.one, candidates_) / found.one) : 0.0f;
  }

  const Rows& rows_;
  Residual left_;
  double ratio_;
  const int candidates_;
  bool solved_;
};

/// Accepts the token that plain sampling draws.
class Match {
 public:
  __device__ Match(const Rows& rows, double coin) : token_(draw(rows.p(), coin, rows.shared())) {}
  __device__ bool judge(int token, double) const { return token == token_; }
  __device__ int drawLast(double) const { return token_; }

 private:
  int token_;
};

/// Judges the children of the deepest node in turn; the accepted one, or kRoot and then `last` is drawn.
template <class Judge>
__device__ int judgeChildren(const DraftTree& tree, const Walk& walk, int first, Judge& judge, int* last) {
  const int depth = walk.depth();
  int child = first;
  for (int round = 0; child != kRoot; child = walk.nextChild(child), ++round)
    if (judge.judge(tree.tokens[child], acceptCoin(tree, depth, round))) return child;
  *last = judge.drawLast(residualCoin(tree, depth));
  return kRoot;
}

__device__ __noinline__ inline RowError walkDown(const pw_gpu_verify_params& a, const DraftTree& tree,
                                                 const VerifyMemory& memory, Shared& shared) {
  Walk walk(tree, memory.walk);
  Rows rows(a, tree, memory, shared);
  for (;;) {
    const int depth = walk.depth();
    if (const RowError error = rows.openTarget(walk.node(), walk.tokens(), depth); error != RowError::kNone)
      return error;
    const int first = walk.nextChild(kRoot);
    if (first != kRoot && a.rule != PW_VERIFY_MATCH)
      if (const RowError error = rows.openDraft(first, walk.tokens(), depth); error != RowError::kNone) return error;
    int child = kRoot, last = -1;
    if (a.rule == PW_VERIFY_MATCH) {
      Match judge(rows, uniformOf(tree.target, PW_DRAW_SAMPLE, tree.target.offset + depth, 0));
      child = judgeChildren(tree, walk, first, judge, &last);
    } else if (a.rule == PW_VERIFY_K_SEQ) {
      int children = 0;
      for (int c = first; c != kRoot; c = walk.nextChild(c)) ++children;
      OptimalTransport judge(rows, children);
      child = judgeChildren(tree, walk, first, judge, &last);
    } else {
      RecursiveRejection judge(rows, a.distinct != 0);
      child = judgeChildren(tree, walk, first, judge, &last);
    }
    if (child == kRoot) {
      rows.emit(last);
      finishDraft(a, tree, walk.node(), last);
      return RowError::kNone;
    }
    rows.emit(tree.tokens[child]);
    walk.accept(child);
  }
}

}  // namespace sampling
}  // namespace pw
