// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "cpu/rows.h"
#include "cpu/sample/reference_distribution.h"
#include "cpu/sample/sample.h"

namespace pw::cpu::reference {
namespace {

void writeTop(const pw_sample_args& a, int64_t r, const std::vector<float>& logits, double denominator) {
  const std::vector<int32_t> order = totalOrder(logits);
  for (int64_t i = 0; i < a.top_ids.shape[1]; ++i) {
    const bool found = i < static_cast<int64_t>(order.size()) &&
                       std::isfinite(logits[static_cast<size_t>(order[static_cast<size_t>(i)])]);
    const int32_t token = found ? order[static_cast<size_t>(i)] : -1;
    writeElement(rowPointer(a.top_ids, r), PW_I32, i, token);
    writeElement(rowPointer(a.top_logprobs, r), PW_F32, i,
                 found ? logits[static_cast<size_t>(token)] - denominator : -INFINITY);
  }
}

void writeNothing(const pw_sample_args& a, int64_t r) {
  writeInteger(a.ids, r, -1);
  if (a.logprobs.data) writeElement(a.logprobs.data, PW_F32, r * a.logprobs.strides[0], NAN);
  if (!a.top_ids.data) return;
  for (int64_t i = 0; i < a.top_ids.shape[1]; ++i) {
    writeElement(rowPointer(a.top_ids, r), PW_I32, i, -1);
    writeElement(rowPointer(a.top_logprobs, r), PW_F32, i, NAN);
  }
}

}  // namespace

void sample(const pw_sample_args& a, Context& context) {
  const int64_t size = rowLength(a.logits);
  for (int64_t r = 0; r < a.logits.shape[0]; ++r) {
    const Request request = loadRequest(a.sampling, r, size);
    std::vector<float> logits = readLogits(a.logits, r);
    writeNothing(a, r);
    if (!request.valid) {
      failInvalidParameters(context, "sample", r);
      continue;
    }
    if (!validLogits(logits)) {
      failInvalidLogits(context, "sample", r);
      continue;
    }
    const std::vector<float> raw = logits;
    if (isPenalized(request)) {
      std::vector<int32_t> counts(logits.size());
      if (!applyPenalties(logits.data(), size, request, nullptr, 0, counts.data())) {
        failInvalidToken(context, "sample", r, "history", size);
        continue;
      }
    }
    const double denominator = logSumExp(raw);
    const int64_t token =
        drawFrom(targetProbabilities(logits, request), uniform(request, PW_DRAW_SAMPLE, request.offset));
    writeInteger(a.ids, r, token);
    if (a.logprobs.data)
      writeElement(a.logprobs.data, PW_F32, r * a.logprobs.strides[0], raw[static_cast<size_t>(token)] - denominator);
    if (a.top_ids.data) writeTop(a, r, raw, denominator);
  }
}

void argmax(const pw_argmax_args& a, Context& context) {
  for (int64_t r = 0; r < a.logits.shape[0]; ++r) {
    const std::vector<float> logits = readLogits(a.logits, r);
    const bool valid = validLogits(logits);
    writeInteger(a.ids, r, valid ? totalOrder(logits)[0] : -1);
    if (!valid) failInvalidLogits(context, "argmax", r);
  }
}

}  // namespace pw::cpu::reference
