// SPDX-License-Identifier: Apache-2.0
#include "cpu/verify/chain.h"

#include <string>

#include "cpu/rows.h"

namespace pw::cpu {

void clearOutputs(const pw_verify_args& a, int64_t index) {
  void* tokens = rowPointer(a.tokens, index);
  for (int64_t i = 0; i < a.tokens.shape[1]; ++i) {
    writeElement(tokens, PW_I32, i, -1);
    if (a.logprobs.data) writeElement(rowPointer(a.logprobs, index), PW_F32, i, 0.0);
  }
  writeInteger(a.accepted_lengths, index, 0);
  writeInteger(a.last_tokens, index, -1);
  if (a.positions.data) writeInteger(a.next_positions, index, readInteger(a.positions, index));
}

bool loadChain(const pw_verify_args& a, int64_t index, Chain* chain, Context& context) {
  clearOutputs(a, index);
  const int64_t vocabulary = rowLength(a.target_logits), columns = a.tokens.shape[1];
  const int64_t begin = readInteger(a.draft_indptr, index), end = readInteger(a.draft_indptr, index + 1);
  if (begin < 0 || end < begin || end > a.draft_tokens.shape[0] || end - begin >= columns) {
    context.fail(PW_INVALID_ARGUMENT, "verify: request " + std::to_string(index) + " has drafted tokens [" +
                                          std::to_string(begin) + ", " + std::to_string(end) + ") of " +
                                          std::to_string(a.draft_tokens.shape[0]) + "; at most " +
                                          std::to_string(columns - 1) + " fit its row of the output");
    return false;
  }
  chain->request = index;
  chain->target = loadRequest(a.sampling, index, vocabulary);
  chain->draft =
      a.draft_parameters.data ? withParameters(chain->target, a.draft_parameters, index, vocabulary) : chain->target;
  if (a.greedy) chain->target.temperature = 0.0f;
  chain->tokens = static_cast<const int32_t*>(a.draft_tokens.data) + begin;
  chain->firstDraftRow = begin;
  chain->firstTargetRow = begin + index;
  chain->length = 0;
  while (chain->length < end - begin && chain->tokens[chain->length] >= 0) {
    if (chain->tokens[chain->length++] < vocabulary) continue;
    failInvalidToken(context, "verify", index, "draft", vocabulary);
    return false;
  }
  return true;
}

void finishChain(const pw_verify_args& a, const Chain& chain, int64_t accepted, int64_t last) {
  void* tokens = rowPointer(a.tokens, chain.request);
  for (int64_t i = 0; i < accepted; ++i) writeElement(tokens, PW_I32, i, chain.tokens[i]);
  writeElement(tokens, PW_I32, accepted, static_cast<double>(last));
  writeInteger(a.accepted_lengths, chain.request, accepted);
  writeInteger(a.last_tokens, chain.request, last);
  if (a.positions.data)
    writeInteger(a.next_positions, chain.request, readInteger(a.positions, chain.request) + accepted + 1);
}

void writeLogprob(const pw_verify_args& a, const Chain& chain, int64_t at, double logprob) {
  if (a.logprobs.data) writeElement(rowPointer(a.logprobs, chain.request), PW_F32, at, logprob);
}

}  // namespace pw::cpu
