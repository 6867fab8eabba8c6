// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "plan/attention_plan.h"

namespace pw {

/// @throws Error(PW_INVALID_ARGUMENT): everything but page indices
void validateAttentionInputs(const AttentionPlanInputs& in);

/// The visible range of every row, from the causal rule, window and segments.
std::vector<pw_row_mask> rowMasksOf(const AttentionPlanInputs& in);

/// Tree masks without the ancestors that a window hides.
std::vector<uint64_t> treeMasksOf(const AttentionPlanInputs& in);

/// Tokens of `sequence` that a tree mask speaks for.
inline int32_t treeLengthOf(const AttentionPlanInputs& in, int64_t sequence) {
  return in.treeMasks.given() ? in.treeLengths[sequence] : 0;
}

}  // namespace pw
