// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "cpu/sample/request.h"

namespace pw::cpu::reference {

/// A row of logits as f32 values.
std::vector<float> readLogits(const pw_tensor& logits, int64_t row);
/// Whether a row has neither NaN nor +inf and some finite value.
bool validLogits(const std::vector<float>& logits);
/// Token ids in the total order: larger logit first, lower id first among equals.
std::vector<int32_t> totalOrder(const std::vector<float>& logits);
/// log sum of e^logit.
double logSumExp(const std::vector<float>& logits);
/// The contract of pagewarp/sample.h after penalties, by a full sort: one probability per token.
std::vector<double> targetProbabilities(const std::vector<float>& logits, const Request& request);
/// Inverse transform sampling, in order of tokens, from weights that need not sum to one.
int64_t drawFrom(const std::vector<double>& weights, double uniform);

}  // namespace pw::cpu::reference
