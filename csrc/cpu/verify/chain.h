// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/context.h"
#include "cpu/sample/request.h"
#include "pagewarp/verify.h"

namespace pw::cpu {

/// One request's draft and how it is judged.
struct Chain {
  int64_t request;
  Request target;          ///< parameters of the target's distribution
  Request draft;           ///< parameters that the draft was sampled with
  const int32_t* tokens;   ///< drafted tokens
  int64_t length;          ///< how many, up to the first padding
  int64_t firstTargetRow;  ///< rows of the logits tensors
  int64_t firstDraftRow;
};

/// What a failed request leaves: nothing accepted, token -1, its position unmoved.
void clearOutputs(const pw_verify_args& args, int64_t index);

/// Clears the outputs of request `index` and reads it.
/// @returns false, after context.fail, when the draft does not fit the outputs or has an invalid token
bool loadChain(const pw_verify_args& args, int64_t index, Chain* chain, Context& context);

/// Writes the outputs of a chain whose first `accepted` tokens were kept and followed by `last`.
void finishChain(const pw_verify_args& args, const Chain& chain, int64_t accepted, int64_t last);

void writeLogprob(const pw_verify_args& args, const Chain& chain, int64_t at, double logprob);

}  // namespace pw::cpu
