// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/verify.h"

#include <algorithm>

#include "gpu/ops.h"
#include "gpu/rows.h"
#include "gpu/sample.h"

namespace pw::gpu {
namespace {

pw_gpu_matrix matrixOf(const pw_tensor& t) {
  return {t.data, t.strides[0], static_cast<int32_t>(t.data ? rowLength(t) : 0)};
}

/// Thread blocks that are resident at once, at most `wanted`.
int64_t residentOf(Context& context, const Kernel& kernel, unsigned threads, int64_t wanted) {
  const int64_t resident =
      static_cast<int64_t>(context.residentBlocks(kernel, threads, 0)) * context.properties().multiprocessors;
  return std::min(wanted, std::max<int64_t>(resident, 1));
}

/// Memory of `blocks` thread blocks for residuals of `size` tokens, drafts of `nodes` and so many saved `rows`.
pw_gpu_verify_memory verifyMemory(Context& context, int64_t size, int64_t nodes, int64_t rows, int64_t blocks) {
  pw_gpu_verify_memory memory{};
  memory.nodeAt = divideUp(divideUp(size, PW_GPU_SAMPLE_BLOCK) * 4, 256) * 256;
  memory.rowAt = memory.nodeAt + divideUp((3 * nodes + 8) * 4, 256) * 256;
  memory.bytes = memory.rowAt + rows * PW_GPU_VERIFY_ROW;
  memory.data = static_cast<char*>(context.scratch(static_cast<size_t>(memory.bytes * blocks)));
  return memory;
}

}  // namespace

void verify(Context& context, const pw_verify_args& a) {
  const int64_t requests = a.accepted_lengths.shape[0], size = rowLength(a.target_logits);
  if (requests == 0) return;
  const Kernel& kernel = context.kernel("verify/verify", "pw_verify");
  const unsigned threads = samplingThreads(size);
  const int64_t blocks = residentOf(context, kernel, threads, requests);
  pw_gpu_verify_params p{};
  p.target = logitsOf(a.target_logits);
  if (a.draft_logits.data) {
    p.draft = logitsOf(a.draft_logits);
    p.draftLogitRows = a.draft_logits.shape[0];
  }
  p.tokens = static_cast<const int32_t*>(a.draft_tokens.data);
  p.total = a.draft_tokens.shape[0];
  p.indptr = vectorOf(a.draft_indptr);
  p.parents = static_cast<const int32_t*>(a.draft_parents.data);
  p.rows = static_cast<const int32_t*>(a.draft_rows.data);
  p.draftParameters = static_cast<const float*>(a.draft_parameters.data);
  p.draftParameterStride = a.draft_parameters.strides[0];
  p.sampling = samplingOf(a.sampling);
  p.rule = a.rule;
  p.distinct = a.distinct;
  p.threshold = a.threshold;
  p.delta = a.delta;
  p.acceptedLengths = vectorOf(a.accepted_lengths);
  p.lastTokens = vectorOf(a.last_tokens);
  p.positions = vectorOf(a.positions);
  p.nextPositions = vectorOf(a.next_positions);
  p.outTokens = matrixOf(a.tokens);
  p.path = matrixOf(a.path);
  p.logprobs = matrixOf(a.logprobs);
  // Accepted tokens are history, too, so any row may be penalised.
  p.workspace = sampleWorkspace(context, size, true, 2 * blocks);
  p.memory = verifyMemory(context, size, p.total, a.rule == PW_VERIFY_BLOCK ? a.tokens.shape[1] : 0, blocks);
  p.requests = static_cast<int32_t>(requests);
  p.error = context.errorWord();
  context.launch(kernel, {static_cast<unsigned>(blocks)}, {threads}, 0, p);
}

void drawCandidates(Context& context, const pw_candidates_args& a) {
  const int64_t rows = a.logits.shape[0], size = rowLength(a.logits);
  if (rows == 0) return;
  const Kernel& kernel = context.kernel("verify/candidates", "pw_candidates");
  const unsigned threads = samplingThreads(size);
  const int64_t blocks = residentOf(context, kernel, threads, rows);
  pw_gpu_candidates_params p{};
  p.logits = logitsOf(a.logits);
  p.sampling = samplingOf(a.sampling);
  p.kind = a.kind;
  p.branches = vectorOf(a.branches);
  p.ids = matrixOf(a.ids);
  p.logprobs = matrixOf(a.logprobs);
  p.keys = matrixOf(a.keys);
  p.firstKeys = static_cast<const float*>(a.first_keys.data);
  p.firstKeyStride = a.first_keys.strides[0];
  p.workspace = sampleWorkspace(context, size, a.sampling.history.data != nullptr, blocks);
  p.memory = verifyMemory(context, size, 0, 0, blocks);
  p.rows = static_cast<int32_t>(rows);
  p.error = context.errorWord();
  context.launch(kernel, {static_cast<unsigned>(blocks)}, {threads}, 0, p);
}

}  // namespace pw::gpu
