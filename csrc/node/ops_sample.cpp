// SPDX-License-Identifier: Apache-2.0
#include "node/call.h"
#include "node/register.h"

namespace pw::node {
namespace {

/// Six arguments from `first` on: parameters, seeds, offsets, history | null, historyIndptr | null, promptLengths |
/// null.
pw_sampling samplingFrom(Call& call, size_t first) {
  pw_sampling s{};
  s.parameters = call.tensor(first);
  s.seeds = call.tensor(first + 1);
  s.offsets = call.tensor(first + 2);
  s.history = call.optionalTensor(first + 3);
  s.history_indptr = call.optionalTensor(first + 4);
  s.prompt_lengths = call.optionalTensor(first + 5);
  return s;
}

/// argmax(stream, logits, ids)
Napi::Value argmax(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_argmax_args a{};
  a.logits = call.tensor(1);
  a.ids = call.tensor(2);
  return call.enqueue("argmax", [a](Executor& executor) { executor.argmax(a); });
}

/// sample(stream, logits, ids, logprobs | null, topIds | null, topLogprobs | null, ...sampling)
Napi::Value sample(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_sample_args a{};
  a.logits = call.tensor(1);
  a.ids = call.tensor(2);
  a.logprobs = call.optionalTensor(3);
  a.top_ids = call.optionalTensor(4);
  a.top_logprobs = call.optionalTensor(5);
  a.sampling = samplingFrom(call, 6);
  return call.enqueue("sample", [a](Executor& executor) { executor.sample(a); });
}

/// verify(stream, targetLogits, draftTokens, draftIndptr, draftParents | null, draftLogits | null, draftRows | null,
///        draftParameters | null, distinct, rule, threshold, delta, acceptedLengths, tokens, lastTokens, path | null,
///        positions | null, nextPositions | null, logprobs | null, ...sampling)
Napi::Value verify(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_verify_args a{};
  a.target_logits = call.tensor(1);
  a.draft_tokens = call.tensor(2);
  a.draft_indptr = call.tensor(3);
  a.draft_parents = call.optionalTensor(4);
  a.draft_logits = call.optionalTensor(5);
  a.draft_rows = call.optionalTensor(6);
  a.draft_parameters = call.optionalTensor(7);
  a.distinct = call.flag(8);
  a.rule = static_cast<pw_verify_rule>(call.integer(9));
  a.threshold = static_cast<float>(call.number(10));
  a.delta = static_cast<float>(call.number(11));
  a.accepted_lengths = call.tensor(12);
  a.tokens = call.tensor(13);
  a.last_tokens = call.tensor(14);
  a.path = call.optionalTensor(15);
  a.positions = call.optionalTensor(16);
  a.next_positions = call.optionalTensor(17);
  a.logprobs = call.optionalTensor(18);
  a.sampling = samplingFrom(call, 19);
  return call.enqueue("verify", [a](Executor& executor) { executor.verify(a); });
}

/// drawCandidates(stream, logits, kind, branches | null, ids, logprobs, firstKeys | null, keys | null, ...sampling)
Napi::Value drawCandidates(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_candidates_args a{};
  a.logits = call.tensor(1);
  a.kind = static_cast<pw_candidate_kind>(call.integer(2));
  a.branches = call.optionalTensor(3);
  a.ids = call.tensor(4);
  a.logprobs = call.tensor(5);
  a.first_keys = call.optionalTensor(6);
  a.keys = call.optionalTensor(7);
  a.sampling = samplingFrom(call, 8);
  return call.enqueue("drawCandidates", [a](Executor& executor) { executor.drawCandidates(a); });
}

}  // namespace

void registerSampleOps(Napi::Env env, Napi::Object exports) {
  exports.Set("argmax", Napi::Function::New(env, guarded<argmax>));
  exports.Set("sample", Napi::Function::New(env, guarded<sample>));
  exports.Set("verify", Napi::Function::New(env, guarded<verify>));
  exports.Set("drawCandidates", Napi::Function::New(env, guarded<drawCandidates>));
}

}  // namespace pw::node
