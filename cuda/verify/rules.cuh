// SPDX-License-Identifier: Apache-2.0
/// @file The rules of pagewarp/verify.h, as on the CPU (csrc/cpu/verify: walk.inl, block.inl, lossy.inl).
#pragma once
#include "verify/draft.cuh"

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
    if (stale_) mass_ = sumResidual(left_, rows_.residual(), rows_.shared());
    stale_ = false;
    const double q = rows_.draftProbability(token) / undrawn_;
    if (q > 0.0 && coin * fmin(q, 1.0) * mass_ < weight(token)) return true;
    reject(token, q);
    return false;
  }

  __device__ int drawLast(double coin) {
    if (left_.rejectedCount == 0 || rows_.p().only >= 0) return draw(rows_.p(), coin, rows_.shared());
    const double total = sumResidual(left_, rows_.residual(), rows_.shared());
    return drawResidual(left_, rows_.residual(), total, coin, rows_.shared());
  }

 private:
  __device__ double weight(int token) const {
    for (int i = 0; i < left_.rejectedCount; ++i)
      if (left_.rejected[i] == token) return 0.0;
    const double p = rows_.p().probability(token);
    if (rows_.p().only >= 0 || !rows_.q()) return p;
    return fmax(0.0, p - static_cast<double>(left_.take) * rows_.draftProbability(token));
  }

  __device__ void reject(int token, double q) {
    if (rows_.p().only >= 0) return;
    if (!rows_.q()) mass_ = fmax(mass_ - weight(token), 0.0);
    __syncthreads();
    if (threadIdx.x == 0) rows_.scratch()[left_.rejectedCount] = token;
    ++left_.rejectedCount;
    __syncthreads();
    if (!rows_.q()) return;
    left_.take += static_cast<float>(mass_ / undrawn_);
    if (distinct_) undrawn_ = fmax(undrawn_ - q * undrawn_, 1e-12);
    stale_ = true;
  }

  const Rows& rows_;
  const bool distinct_;
  Residual left_;
  double mass_, undrawn_;
  bool stale_;
};

/// Judges the children of one node as k candidates of one transport (k-SEQ).
class OptimalTransport {
 public:
  __device__ OptimalTransport(const Rows& rows, int candidates)
      : rows_(rows), left_{&rows.p(), rows.q(), 1.0f, 0.0f, CUDART_INF_F, nullptr, 0}, ratio_(1) {
    if (rows.p().only < 0 && candidates > 0) solve(candidates);
  }
  __device__ bool judge(int token, double coin) const {
    const double q = rows_.draftProbability(token);
    return q > 0.0 && coin * q * ratio_ < rows_.p().probability(token);
  }
  __device__ int drawLast(double coin) {
    if (!(left_.take > 0.0f)) return draw(rows_.p(), coin, rows_.shared());
    const double total = sumResidual(left_, rows_.residual(), rows_.shared());
    return drawResidual(left_, rows_.residual(), total, coin, rows_.shared());
  }

 private:
  __device__ static double some(double one, double candidates) { return 1.0 - pow(1.0 - fmin(one, 1.0), candidates); }
  __device__ double chance(double ratio) const {
    return sumOfMinima(rows_.p(), *rows_.q(), static_cast<float>(1.0 / ratio), rows_.residual(), rows_.shared());
  }
  __device__ void solve(double candidates) {
    double low = 1.0, one = chance(1.0);
    if (some(one, candidates) > one * (1.0 + 1e-7)) {
      ratio_ = candidates;
      for (int step = 0; step < 20; ++step) {
        const double middle = (low + ratio_) / 2, b = chance(middle);
        (some(b, candidates) <= middle * b ? ratio_ : low) = middle;
      }
      one = chance(ratio_);
    }
    left_.cap = static_cast<float>(1.0 / ratio_);
    left_.take = one > 0.0 ? static_cast<float>(some(one, candidates) / one) : 0.0f;
  }

  const Rows& rows_;
  Residual left_;
  double ratio_;
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

/// What a block reached with weight `reach` can still make up for at the open row.
__device__ inline Residual blockResidual(const Rows& rows, float reach, int drafted) {
  __syncthreads();
  if (threadIdx.x == 0) rows.scratch()[0] = drafted;
  __syncthreads();
  // A deterministic draft puts all of q on one token, of which nothing is left.
  return {&rows.p(), rows.q(), reach, 1.0f, CUDART_INF_F, rows.scratch(), rows.q() ? 0 : 1};
}

__device__ __noinline__ inline RowError verifyBlock(const pw_gpu_verify_params& a, const DraftTree& tree,
                                                    const VerifyMemory& memory, Shared& shared) {
  Rows rows(a, tree, memory, shared);
  double reach = 1.0, keptReach = 1.0;
  int kept = 0;
  for (int i = 0; i < tree.nodes; ++i) {
    RowError error = rows.openTarget(i - 1, tree.tokens, i);
    if (error == RowError::kNone) error = rows.openDraft(i, tree.tokens, i);
    if (error != RowError::kNone) return error;
    const int token = tree.tokens[i];
    if (i > 0) {
      const Residual residual = blockResidual(rows, static_cast<float>(reach), token);
      const double missing =
          rows.q() ? sumResidual(residual, memory.residual, shared) : reach * (1.0 - rows.p().probability(token));
      const double doubt = missing + 1.0 - reach;
      if (doubt > 0.0 && acceptCoin(tree, i - 1, 0) * doubt < missing) {
        kept = i;
        keptReach = reach;
      }
    }
    rows.emit(token);
    const double q = rows.draftProbability(token);
    reach = q > 0.0 ? fmin(1.0, reach * rows.p().probability(token) / q) : 0.0;
    if (!(reach > 0.0)) break;
    if (i + 1 == tree.nodes && acceptCoin(tree, i, 0) < reach) kept = tree.nodes;
  }
  RowError error = rows.openTarget(kept - 1, tree.tokens, kept);
  if (error == RowError::kNone && kept < tree.nodes) error = rows.openDraft(kept, tree.tokens, kept);
  if (error != RowError::kNone) return error;
  int last = 0;
  if (kept == tree.nodes || rows.p().only >= 0) {
    last = draw(rows.p(), residualCoin(tree, kept), shared);
  } else {
    const Residual residual = blockResidual(rows, static_cast<float>(keptReach), tree.tokens[kept]);
    const double total = sumResidual(residual, memory.residual, shared);
    last = drawResidual(residual, memory.residual, total, residualCoin(tree, kept), shared);
  }
  __syncthreads();
  if (a.logprobs.data && threadIdx.x == 0)
    for (int i = kept; i <= tree.nodes; ++i) rowAt<float>(a.logprobs, tree.request)[i] = 0.0f;
  rows.emit(last);
  finishDraft(a, tree, kept - 1, last);
  return RowError::kNone;
}

/// Keeps the deepest node all of whose ancestors and itself meet the criterion.
__device__ __noinline__ inline RowError verifyByCriterion(const pw_gpu_verify_params& a, const DraftTree& tree,
                                                          const VerifyMemory& memory, Shared& shared) {
  Rows rows(a, tree, memory, shared);
  int32_t* depths = memory.walk;  // of the nodes, -1 for the unacceptable ones
  for (int i = static_cast<int>(threadIdx.x); i < tree.nodes; i += static_cast<int>(blockDim.x)) depths[i] = -1;
  __syncthreads();
  int best = kRoot, deepest = 0;
  for (int parent = kRoot; parent < tree.nodes; ++parent) {
    const int depth = parent == kRoot ? 0 : depths[parent];
    if (depth < 0) continue;
    bool open = false;
    float least = 0;
    for (int child = parent + 1; child < tree.nodes; ++child) {
      if (tree.parentOf(child) != parent || tree.tokens[child] < 0) continue;
      if (!open) {
        const int length = tree.pathTo(parent, memory.path);
        if (const RowError error = rows.openTarget(parent, memory.path, length); error != RowError::kNone) return error;
        least = a.threshold;
        if (a.rule == PW_VERIFY_TYPICAL)
          least = fminf(least, static_cast<float>(a.delta * exp(-entropyOf(rows.p(), memory.residual, shared))));
        open = true;
      }
      const double p = rows.p().probability(tree.tokens[child]);
      if (!(a.rule == PW_VERIFY_THRESHOLD ? p >= least : p > least)) continue;
      __syncthreads();
      if (threadIdx.x == 0) depths[child] = depth + 1;
      __syncthreads();
      if (depth + 1 > deepest) {
        deepest = depth + 1;
        best = child;
      }
      if (!tree.parents) break;
    }
  }
  for (int depth = a.logprobs.data ? 0 : deepest; depth <= deepest; ++depth) {
    int node = best;
    for (int up = deepest; up > depth; --up) node = tree.parentOf(node);
    const int length = tree.pathTo(best, memory.path);
    if (const RowError error = rows.openTarget(node, memory.path, depth); error != RowError::kNone) return error;
    if (depth < deepest && depth < length) rows.emit(memory.path[depth]);
  }
  const int last = draw(rows.p(), residualCoin(tree, deepest), shared);
  rows.emit(last);
  finishDraft(a, tree, best, last);
  return RowError::kNone;
}

}  // namespace sampling
}  // namespace pw
