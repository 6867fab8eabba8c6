// SPDX-License-Identifier: Apache-2.0
#include "cpu/sample/row.inl"
#include "cpu/verify/chain.h"
#include "cpu/verify/verify.h"

namespace pw::cpu::PW_ISA {
namespace {

/// A worker's memory: the target's row, the draft's row, what is shared by both, and sums of the residual.
struct Memory {
  RowMemory target, draft;
  Workspace workspace;
  double* residual;
};

int64_t memoryBytes(int64_t size) {
  return 2 * rowMemoryBytes(size) + workspaceBytes(size) + blockCount(size) * 8 + 64;
}

Memory carveMemory(char* memory, int64_t size) {
  Memory carved;
  carved.target = carveRow(memory, size);
  carved.draft = carveRow(memory, size);
  carved.workspace = carveWorkspace(memory, size);
  carved.residual = reinterpret_cast<double*>((reinterpret_cast<uintptr_t>(memory) + 63) / 64 * 64);
  return carved;
}

/// One block of the residual, relu(p - q), or p without `rejected` when the draft was deterministic (q null); `out` has
/// room for kBlock and is zero beyond the row's end.
float residualOfBlock(const TargetDistribution& p, const TargetDistribution* q, int64_t rejected, int64_t block,
                      float* out) {
  const int64_t begin = block * kBlock;
  for (int64_t i = p.size - begin; i < kBlock; ++i) out[i] = 0.0f;
  weightsOfBlock(p, block, out);
  float other[kBlock];
  Vec sum(0.0f);
  if (q) {
    const Vec a(static_cast<float>(1.0 / p.total)), b(static_cast<float>(1.0 / q->total));
    for (int64_t i = p.size - begin; i < kBlock; ++i) other[i] = 0.0f;
    weightsOfBlock(*q, block, other);
    for (int64_t i = 0; i < kBlock; i += Vec::kLanes) {
      const Vec difference = max(loadF32(out + i) * a - loadF32(other + i) * b, Vec(0.0f));
      storeF32(out + i, difference);
      sum = sum + difference;
    }
  } else {
    if (rejected >= begin && rejected < begin + kBlock) out[rejected - begin] = 0.0f;
    for (int64_t i = 0; i < kBlock; i += Vec::kLanes) sum = sum + loadF32(out + i);
  }
  return reduceAdd(sum);
}

/// Draws the token that replaces a rejected one.
int64_t drawResidual(const TargetDistribution& p, const TargetDistribution* q, int64_t rejected, double uniform,
                     double* sums) {
  float weights[kBlock];
  double total = 0;
  for (int64_t b = 0; b < blockCount(p.size); ++b) total += sums[b] = residualOfBlock(p, q, rejected, b, weights);
  // p <= q everywhere means p = q up to rounding, where a rejection has the probability of a rounding error.
  if (!(total > 0)) return draw(p, uniform);
  return drawFromBlocks(sums, p.size, total, uniform,
                        [&](int64_t block, float* out) { residualOfBlock(p, q, rejected, block, out); });
}

class Walk {
 public:
  Walk(const pw_verify_args& args, const Chain& chain, const Memory& memory)
      : a_(args), chain_(chain), memory_(memory) {}

  /// Accepts tokens until one is rejected or the draft ends, then draws the last one.
  RowError run() {
    for (int64_t j = 0;; ++j) {
      if (const RowError error = openRow(j); error != RowError::kNone) return error;
      if (j == chain_.length) return finish(j, draw(p_, residualCoin(j)));
      const int64_t drafted = chain_.tokens[j];
      double q = 1.0;
      if (a_.draft_logits.data) {
        if (const RowError error = openDraftRow(j); error != RowError::kNone) return error;
        q = probability(q_, drafted);
      }
      // A token that the draft cannot have drawn is no draw from q: rejected. The coin is below 1, so p = q accepts.
      if (q > 0.0 && uniform(chain_.target, PW_DRAW_ACCEPT, chain_.target.offset + j) * q < probability(p_, drafted)) {
        logprob(j, drafted);
        continue;
      }
      return finish(j,
                    drawResidual(p_, a_.draft_logits.data ? &q_ : nullptr, drafted, residualCoin(j), memory_.residual));
    }
  }

 private:
  double residualCoin(int64_t j) const { return uniform(chain_.target, PW_DRAW_RESIDUAL, chain_.target.offset + j); }

  RowError openRow(int64_t j) {
    const auto inspect = [&](const float* row, RowRange range) {
      if (a_.logprobs.data) denominator_ = logSumExp(row, rowLength(a_.target_logits), range);
    };
    return distributionOfRow(a_.target_logits, chain_.firstTargetRow + j, chain_.target, chain_.tokens, j,
                             memory_.target, memory_.workspace, inspect, &p_);
  }

  RowError openDraftRow(int64_t j) {
    return distributionOfRow(
        a_.draft_logits, chain_.firstDraftRow + j, chain_.draft, chain_.tokens, j, memory_.draft, memory_.workspace,
        [](const float*, RowRange) {}, &q_);
  }

  void logprob(int64_t j, int64_t token) {
    if (!a_.logprobs.data) return;
    const void* row = rowPointer(a_.target_logits, chain_.firstTargetRow + j);
    writeLogprob(a_, chain_, j, readElement(row, a_.target_logits.dtype, token) - denominator_);
  }

  RowError finish(int64_t j, int64_t token) {
    logprob(j, token);
    finishChain(a_, chain_, j, token);
    return RowError::kNone;
  }

  const pw_verify_args& a_;
  const Chain& chain_;
  const Memory& memory_;
  TargetDistribution p_, q_;
  double denominator_ = 0;
};

void verifyRequest(const pw_verify_args& a, int64_t index, const Memory& memory, Context& context) {
  Chain chain;
  if (!loadChain(a, index, &chain, context)) return;
  const RowError error = Walk(a, chain, memory).run();
  if (error != RowError::kNone) clearOutputs(a, index);
  if (error == RowError::kLogits) failInvalidLogits(context, "verify", index);
  if (error == RowError::kToken) failInvalidToken(context, "verify", index, "history", rowLength(a.target_logits));
}

}  // namespace

void verify(const pw_verify_args& a, Context& context) {
  const int64_t size = rowLength(a.target_logits);
  context.pool().forRange(a.accepted_lengths.shape[0], 1 + 2048 / size, [&](int64_t begin, int64_t end, int worker) {
    const Memory memory =
        carveMemory(static_cast<char*>(context.scratch(worker, static_cast<size_t>(memoryBytes(size)))), size);
    for (int64_t b = begin; b < end; ++b) verifyRequest(a, b, memory, context);
  });
}

}  // namespace pw::cpu::PW_ISA
