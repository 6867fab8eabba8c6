// SPDX-License-Identifier: Apache-2.0
/// @file One request's draft: reading it, walking it, and what is written of it. All threads of the block call
/// everything with the same arguments; thread 0 writes.
#pragma once
#include "pagewarp/status.h"
#include "verify/residual.cuh"

namespace pw {
namespace sampling {

constexpr int kRoot = -1;  ///< the last committed token

struct DraftTree {
  int request;
  Request target, draft;
  const int32_t* tokens;
  const int32_t* parents;  ///< null for a chain
  const int32_t* rows;
  int nodes;  ///< of a chain, up to the first padding
  int64_t firstTargetRow, firstDraftRow;

  __device__ int parentOf(int node) const { return parents ? parents[node] : node - 1; }
  __device__ int64_t draftRowOf(int node) const { return rows ? rows[node] : firstDraftRow + node; }
  __device__ int depthOf(int node) const {
    int depth = 0;
    for (int n = node; n != kRoot; n = parentOf(n)) ++depth;
    return depth;
  }
  /// Writes the tokens down to `node` by thread 0; ends with a barrier. Returns how many.
  __device__ int pathTo(int node, int32_t* to) const {
    const int depth = depthOf(node);
    __syncthreads();
    if (threadIdx.x == 0) {
      int at = depth;
      for (int n = node; n != kRoot; n = parentOf(n)) to[--at] = tokens[n];
    }
    __syncthreads();
    return depth;
  }
};

__device__ inline double acceptCoin(const DraftTree& tree, int depth, int round) {
  return uniformOf(tree.target, PW_DRAW_ACCEPT, tree.target.offset + depth, round);
}
__device__ inline double residualCoin(const DraftTree& tree, int depth) {
  return uniformOf(tree.target, PW_DRAW_RESIDUAL, tree.target.offset + depth, 0);
}

/// A walk down from the root. Memory: levels of the nodes, then the accepted tokens.
class Walk {
 public:
  __device__ Walk(const DraftTree& tree, int32_t* memory)
      : tree_(tree), levels_(memory), tokens_(memory + tree.nodes), depth_(0), node_(kRoot) {
    for (int i = static_cast<int>(threadIdx.x); i < tree.nodes; i += static_cast<int>(blockDim.x)) levels_[i] = 0;
    __syncthreads();
  }

  __device__ int depth() const { return depth_; }
  __device__ int node() const { return node_; }
  __device__ const int32_t* tokens() const { return tokens_; }

  __device__ int nextChild(int previous) const {
    if (!tree_.parents) return previous == kRoot && depth_ < tree_.nodes ? depth_ : kRoot;
    for (int node = previous + 1; node < tree_.nodes; ++node) {
      const int parent = tree_.parents[node];
      const bool continues = parent == kRoot ? depth_ == 0 : depth_ > 0 && levels_[parent] == depth_;
      if (continues && tree_.tokens[node] >= 0) return node;
    }
    return kRoot;
  }

  __device__ void accept(int child) {
    const int token = tree_.tokens[child];
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int node = nextChild(kRoot); node != kRoot; node = nextChild(node))
        if (tree_.tokens[node] == token) levels_[node] = depth_ + 1;
      tokens_[depth_] = token;
    }
    ++depth_;
    node_ = child;
    __syncthreads();
  }

 private:
  const DraftTree& tree_;
  int32_t* levels_;
  int32_t* tokens_;
  int depth_, node_;
};

template <class T>
__device__ T* rowAt(const pw_gpu_matrix& matrix, int row) {
  return static_cast<T*>(matrix.data) + row * matrix.stride;
}

/// What a failed request leaves.
__device__ inline void clearOutputs(const pw_gpu_verify_params& p, int request) {
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < p.outTokens.columns; i += static_cast<int>(blockDim.x)) {
    rowAt<int32_t>(p.outTokens, request)[i] = -1;
    if (p.logprobs.data) rowAt<float>(p.logprobs, request)[i] = 0.0f;
    if (p.path.data && i < p.path.columns) rowAt<int32_t>(p.path, request)[i] = -1;
  }
  if (threadIdx.x == 0) {
    writeInteger(p.acceptedLengths, request, 0);
    writeInteger(p.lastTokens, request, -1);
    if (p.positions.data) writeInteger(p.nextPositions, request, readInteger(p.positions, request));
  }
  __syncthreads();
}

/// Clears the outputs of a request and reads it; false, after a report, when it is no tree or has an invalid token.
__device__ inline bool loadDraft(const pw_gpu_verify_params& p, int request, DraftTree& tree) {
  clearOutputs(p, request);
  const int64_t begin = readInteger(p.indptr, request), end = readInteger(p.indptr, request + 1);
  const int deepest = p.outTokens.columns - 1;
  const auto fail = [&](uint32_t status, int64_t value) {
    if (threadIdx.x == 0) pw_gpu_report(p.error, status, request, value);
    return false;
  };
  if (begin < 0 || end < begin || end > p.total || (!p.parents && end - begin > deepest))
    return fail(PW_INVALID_ARGUMENT, end - begin);
  tree.request = request;
  tree.target = tree.draft = loadRequest(p.sampling, request, p.target.size);
  if (p.draftParameters) setParameters(tree.draft, p.draftParameters + request * p.draftParameterStride, p.target.size);
  if (p.rule == PW_VERIFY_GREEDY) tree.target.temperature = 0.0f;
  tree.tokens = p.tokens + begin;
  tree.parents = p.parents ? p.parents + begin : nullptr;
  tree.rows = p.rows ? p.rows + begin : nullptr;
  tree.firstDraftRow = begin;
  tree.firstTargetRow = begin + request;
  tree.nodes = static_cast<int>(end - begin);
  for (int node = 0; node < tree.nodes; ++node) {
    const int token = tree.tokens[node];
    if (token < 0 && !tree.parents) {
      tree.nodes = node;
      break;
    }
    if (token >= p.target.size) return fail(PW_INVALID_TOKEN, token);
    if (tree.rows && (tree.rows[node] < 0 || tree.rows[node] >= p.draftLogitRows))
      return fail(PW_INVALID_ARGUMENT, tree.rows[node]);
    if (!tree.parents) continue;
    const int parent = tree.parents[node];
    if (parent < kRoot || parent >= node) return fail(PW_INVALID_ARGUMENT, parent);
    if (tree.depthOf(node) > deepest) return fail(PW_INVALID_ARGUMENT, node);
  }
  return true;
}

/// Writes the outputs of a request that keeps the tokens down to `node`, followed by `last`.
__device__ inline void finishDraft(const pw_gpu_verify_params& p, const DraftTree& tree, int node, int last) {
  __syncthreads();
  if (threadIdx.x == 0) {
    const int accepted = tree.depthOf(node);
    int at = accepted;
    for (int n = node; n != kRoot; n = tree.parentOf(n)) {
      rowAt<int32_t>(p.outTokens, tree.request)[--at] = tree.tokens[n];
      if (p.path.data) rowAt<int32_t>(p.path, tree.request)[at] = n;
    }
    rowAt<int32_t>(p.outTokens, tree.request)[accepted] = last;
    writeInteger(p.acceptedLengths, tree.request, accepted);
    writeInteger(p.lastTokens, tree.request, last);
    if (p.positions.data)
      writeInteger(p.nextPositions, tree.request, readInteger(p.positions, tree.request) + accepted + 1);
  }
  __syncthreads();
}

/// A node's rows as they were opened, and the weight with which block verification reached them.
struct alignas(PW_GPU_VERIFY_ROW) SavedRow {
  TargetDistribution target, draft;
  double logSumExp, reach;
};
static_assert(sizeof(SavedRow) == PW_GPU_VERIFY_ROW, "the host makes room for it");

/// The block's memory.
struct VerifyMemory {
  char* target;  ///< workspaces
  char* draft;
  float* residual;
  int32_t* walk;   ///< two per node, and four more
  int32_t* path;   ///< one per node
  SavedRow* rows;  ///< of a chain under block verification, one per node
};

__device__ inline VerifyMemory memoryOf(const pw_gpu_verify_params& p) {
  const pw_gpu_sample_workspace& w = p.workspace;
  char* own = p.memory.data + blockIdx.x * p.memory.bytes;
  auto* integers = reinterpret_cast<int32_t*>(own + p.memory.nodeAt);
  return {w.data + 2 * blockIdx.x * w.bytes, w.data + (2 * blockIdx.x + 1) * w.bytes,
          reinterpret_cast<float*>(own),     integers,
          integers + 2 * p.total + 4,        reinterpret_cast<SavedRow*>(own + p.memory.rowAt)};
}

enum class RowError { kNone, kLogits, kToken };

/// Penalises a row by a request's history and `length` further tokens.
__device__ inline RowError penalizeRow(LogitsRow& row, const Request& request, const int32_t* tokens, int length,
                                       const PenaltyMemory& memory) {
  if (!request.isPenalized() || request.historyLength + length == 0) return RowError::kNone;
  return penalize(row, request, tokens, length, memory) < 0 ? RowError::kNone : RowError::kToken;
}

/// The distribution of a row after a request's history and `length` further tokens.
/// @param listed so many first tokens are wanted, if the request's filters need no more: see scanRow
/// @param moment for entropyOf without a reading of its own
/// @param logSumExp wanted when it is not null: that of the logits as given
__device__ __noinline__ inline RowError openRow(LogitsRow row, const Request& request, const int32_t* tokens,
                                                int length, const pw_gpu_sample_workspace& workspace, char* own,
                                                int listed, bool moment, double* logSumExp, TargetDistribution& out,
                                                Shared& shared) {
  const RowError error = penalizeRow(row, request, tokens, length, penaltyMemory(workspace, own));
  if (error != RowError::kNone) return error;
  auto* sums = reinterpret_cast<float*>(own);
  const Wanted wanted{request.scale(), max(listed, request.listed()), moment};
  const RowRange range = scanRow(row, wanted, sums, logSumExp, shared);
  if (!range.valid) return RowError::kLogits;
  out = makeDistribution(row, range, request, sums, shared);
  return RowError::kNone;
}

/// The distributions at the node of the tree that is being looked at.
class Rows {
 public:
  __device__ Rows(const pw_gpu_verify_params& p, const DraftTree& tree, const VerifyMemory& memory, Shared& shared)
      : p_(p), tree_(tree), memory_(memory), shared_(shared), row_(-1), depth_(0), logSumExp_(0), isSummed_(false) {}

  __device__ const TargetDistribution& p() const { return target_; }
  __device__ const TargetDistribution* q() const { return p_.draft.data ? &draft_ : nullptr; }
  __device__ Shared& shared() const { return shared_; }
  __device__ float* residual() const { return memory_.residual; }
  __device__ int32_t* scratch() const { return memory_.path; }

  __device__ RowError openTarget(int node, const int32_t* tokens, int depth) {
    row_ = tree_.firstTargetRow + 1 + node;
    depth_ = depth;
    isSummed_ = true;
    return openRow(rowOf(p_.target, static_cast<int>(row_)), tree_.target, tokens, depth, p_.workspace, memory_.target,
                   0, p_.rule == PW_VERIFY_TYPICAL, p_.logprobs.data ? &logSumExp_ : nullptr, target_, shared_);
  }
  __device__ RowError openDraft(int child, const int32_t* tokens, int depth) {
    if (!p_.draft.data) return RowError::kNone;
    return openRow(rowOf(p_.draft, static_cast<int>(tree_.draftRowOf(child))), tree_.draft, tokens, depth, p_.workspace,
                   memory_.draft, 0, false, nullptr, draft_, shared_);
  }
  /// The rows at a node of a chain.
  __device__ RowError openBoth(int node) {
    const RowError error = openTarget(node - 1, tree_.tokens, node);
    return error == RowError::kNone ? openDraft(node, tree_.tokens, node) : error;
  }
  /// Puts the rows at a node of a chain aside.
  __device__ void save(int node, double reach) const {
    if (threadIdx.x == 0) {
      SavedRow& saved = memory_.rows[node];
      saved.target = target_;
      if (p_.draft.data) saved.draft = draft_;
      saved.logSumExp = logSumExp_;
      saved.reach = reach;
    }
    __syncthreads();
  }
  /// The rows at this node once more, but for the target's sums by blocks where others were opened since.
  __device__ void restore(int node, double* reach) {
    const SavedRow& saved = memory_.rows[node];
    *reach = saved.reach;
    if (shows(node - 1)) return;
    target_ = saved.target;
    if (p_.draft.data) draft_ = saved.draft;
    logSumExp_ = saved.logSumExp;
    row_ = tree_.firstTargetRow + node;
    depth_ = node;
    isSummed_ = false;
    // Penalised logits are not put aside, but made again; the tokens have been looked at.
    LogitsRow target = rowOf(p_.target, static_cast<int>(row_));
    penalizeRow(target, tree_.target, tree_.tokens, node, penaltyMemory(p_.workspace, memory_.target));
    if (!p_.draft.data) return;
    LogitsRow draft = rowOf(p_.draft, static_cast<int>(tree_.draftRowOf(node)));
    penalizeRow(draft, tree_.draft, tree_.tokens, node, penaltyMemory(p_.workspace, memory_.draft));
  }
  /// Makes sure of the target's sums by blocks.
  __device__ void sumTarget() {
    if (!isSummed_ && target_.only < 0) normalize(target_, shared_);
    isSummed_ = true;
  }
  /// Is this node's row of the target open?
  __device__ bool shows(int node) const { return row_ == tree_.firstTargetRow + 1 + node; }
  __device__ double draftProbability(int token) const { return p_.draft.data ? draft_.probability(token) : 1.0; }
  /// That of a token after the open row, when log-probabilities are wanted.
  __device__ float logprob(int token) const {
    return static_cast<float>(rowOf(p_.target, static_cast<int>(row_)).given(token) - logSumExp_);
  }
  /// Reports the log-probability of the token emitted after the open row.
  __device__ void emit(int token) const {
    if (p_.logprobs.data && threadIdx.x == 0) rowAt<float>(p_.logprobs, tree_.request)[depth_] = logprob(token);
  }

 private:
  const pw_gpu_verify_params& p_;
  const DraftTree& tree_;
  const VerifyMemory& memory_;
  Shared& shared_;
  TargetDistribution target_, draft_;
  int64_t row_;
  int depth_;
  double logSumExp_;
  bool isSummed_;
};

}  // namespace sampling
}  // namespace pw
