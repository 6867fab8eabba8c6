// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cpu/rows.h"
#include "cpu/sample/reference_distribution.h"
#include "cpu/verify/chain.h"
#include "cpu/verify/verify.h"

namespace pw::cpu::reference {
namespace {

enum class Outcome { kDone, kInvalidLogits, kInvalidToken };

/// A row's probabilities after the first `accepted` drafted tokens; `raw` receives the logits before penalties.
Outcome probabilitiesOfRow(const pw_tensor& logits, int64_t row, const Request& request, const Chain& chain,
                           int64_t accepted, std::vector<float>* raw, std::vector<double>* probabilities) {
  std::vector<float> values = readLogits(logits, row);
  if (!validLogits(values)) return Outcome::kInvalidLogits;
  *raw = values;
  if (isPenalized(request)) {
    std::vector<int32_t> counts(values.size());
    if (!applyPenalties(values.data(), rowLength(logits), request, chain.tokens, accepted, counts.data()))
      return Outcome::kInvalidToken;
  }
  *probabilities = targetProbabilities(values, request);
  return Outcome::kDone;
}

Outcome verifyChain(const pw_verify_args& a, const Chain& chain) {
  std::vector<float> raw, unused;
  std::vector<double> p, q;
  for (int64_t j = 0;; ++j) {
    Outcome outcome = probabilitiesOfRow(a.target_logits, chain.firstTargetRow + j, chain.target, chain, j, &raw, &p);
    if (outcome != Outcome::kDone) return outcome;
    const auto logprob = [&](int64_t token) {
      writeLogprob(a, chain, j, raw[static_cast<size_t>(token)] - logSumExp(raw));
    };
    const double residualCoin = uniform(chain.target, PW_DRAW_RESIDUAL, chain.target.offset + j);
    int64_t last = -1;
    if (j == chain.length) {
      last = drawFrom(p, residualCoin);
    } else {
      const auto drafted = static_cast<size_t>(chain.tokens[j]);
      if (a.draft_logits.data) {
        outcome = probabilitiesOfRow(a.draft_logits, chain.firstDraftRow + j, chain.draft, chain, j, &unused, &q);
        if (outcome != Outcome::kDone) return outcome;
      } else {
        q.assign(p.size(), 0.0);
        q[drafted] = 1.0;
      }
      if (q[drafted] > 0 && uniform(chain.target, PW_DRAW_ACCEPT, chain.target.offset + j) * q[drafted] < p[drafted]) {
        logprob(chain.tokens[j]);
        continue;
      }
      std::vector<double> residual(p.size());
      for (size_t i = 0; i < p.size(); ++i) residual[i] = std::max(0.0, p[i] - q[i]);
      last = drawFrom(residual, residualCoin);
      if (last < 0) last = drawFrom(p, residualCoin);
    }
    logprob(last);
    finishChain(a, chain, j, last);
    return Outcome::kDone;
  }
}

}  // namespace

void verify(const pw_verify_args& a, Context& context) {
  for (int64_t b = 0; b < a.accepted_lengths.shape[0]; ++b) {
    Chain chain;
    if (!loadChain(a, b, &chain, context)) continue;
    const Outcome outcome = verifyChain(a, chain);
    if (outcome != Outcome::kDone) clearOutputs(a, b);
    if (outcome == Outcome::kInvalidLogits) failInvalidLogits(context, "verify", b);
    if (outcome == Outcome::kInvalidToken)
      failInvalidToken(context, "verify", b, "history", rowLength(a.target_logits));
  }
}

}  // namespace pw::cpu::reference
