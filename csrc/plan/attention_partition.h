// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <vector>

#include "plan/attention_plan.h"

namespace pw {

/// Cuts a batch into items and the merges that join their partial results, shared by building plans and measuring them.
/// Items' pageBegin is left to the caller.
/// @param masks of all rows
/// @return rows of partial results
/// @throws Error(PW_INVALID_ARGUMENT) for more than 2^31 of them
int64_t partitionAttention(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks,
                           const std::function<void(const pw_attention_item&)>& onItem,
                           const std::function<void(const pw_attention_merge&)>& onMerge);

}  // namespace pw
