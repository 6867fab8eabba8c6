// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/attention.h"

namespace pw::cpu {

PW_CPU_DECLARE(attention, pw_attention_args)
PW_CPU_DECLARE(mergeStates, pw_merge_states_args)

/// Rows of q past the plan's last row (a plan for a smaller batch, in a replay) become zero with an lse of -inf.
/// A plan that does not fit the tensors, or a workspace too small for it, is reported and nothing is written.
void attention(const pw_attention_args& args, Context& context);
void mergeStates(const pw_merge_states_args& args, Context& context);

}  // namespace pw::cpu
