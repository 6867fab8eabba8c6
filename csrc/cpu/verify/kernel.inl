// SPDX-License-Identifier: Apache-2.0
#include "cpu/verify/block.inl"
#include "cpu/verify/candidates.inl"
#include "cpu/verify/lossy.inl"
#include "cpu/verify/verify.h"
#include "cpu/verify/walk.inl"

namespace pw::cpu::PW_ISA {
namespace {

RowError verifyTree(const pw_verify_args& a, const DraftTree& tree, const VerifyMemory& memory) {
  switch (a.rule) {
    case PW_VERIFY_BLOCK:
      return verifyBlock(a, tree, memory);
    case PW_VERIFY_TYPICAL:
    case PW_VERIFY_THRESHOLD:
      return verifyByCriterion(a, tree, memory);
    case PW_VERIFY_MATCH:
      return walkDown(a, tree, memory,
                      [&](const Rows& rows, int64_t, int64_t depth) { return Match(rows, sampleCoin(tree, depth)); });
    case PW_VERIFY_K_SEQ:
      return walkDown(a, tree, memory, [&](const Rows& rows, int64_t children, int64_t) {
        return OptimalTransport(rows, children, memory);
      });
    default:
      return walkDown(a, tree, memory, [&](const Rows& rows, int64_t, int64_t) {
        return RecursiveRejection(rows, a.distinct != 0, memory);
      });
  }
}

void verifyRequest(const pw_verify_args& a, int64_t index, const VerifyMemory& memory, Context& context) {
  DraftTree tree;
  if (!loadDraft(a, index, &tree, context)) return;
  const RowError error = verifyTree(a, tree, memory);
  if (error != RowError::kNone) clearOutputs(a, index);
  failRow(error, context, "verify", index, rowLength(a.target_logits));
}

}  // namespace

void verify(const pw_verify_args& a, Context& context) {
  const int64_t size = rowLength(a.target_logits), nodes = a.draft_tokens.shape[0];
  const auto bytes = static_cast<size_t>(verifyMemoryBytes(size, nodes));
  context.pool().forRange(a.accepted_lengths.shape[0], 1 + 2048 / size, [&](int64_t begin, int64_t end, int worker) {
    const VerifyMemory memory = carveVerifyMemory(static_cast<char*>(context.scratch(worker, bytes)), size, nodes);
    for (int64_t b = begin; b < end; ++b) verifyRequest(a, b, memory, context);
  });
}

}  // namespace pw::cpu::PW_ISA
