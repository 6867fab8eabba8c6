// SPDX-License-Identifier: Apache-2.0
#include "cpu/verify/candidates.h"

#include <cmath>

#include "cpu/rows.h"

namespace pw::cpu {

void clearCandidates(const pw_candidates_args& a, int64_t row) {
  for (int64_t i = 0; i < a.ids.shape[1]; ++i) {
    writeElement(rowPointer(a.ids, row), PW_I32, i, -1);
    writeElement(rowPointer(a.logprobs, row), PW_F32, i, -INFINITY);
    if (a.keys.data) writeElement(rowPointer(a.keys, row), PW_F32, i, -INFINITY);
  }
}

void writeCandidate(const pw_candidates_args& a, int64_t row, int64_t at, int64_t token, double probability) {
  writeElement(rowPointer(a.ids, row), PW_I32, at, static_cast<double>(token));
  writeElement(rowPointer(a.logprobs, row), PW_F32, at, std::log(probability));
}

double candidateCoin(const pw_candidates_args& a, int64_t row, const Request& request, pw_draw use, int64_t at) {
  const int64_t branch = a.branches.data ? readInteger(a.branches, row) : 0;
  return uniform(request, use, request.offset, branch * PW_MAX_CANDIDATES + at);
}

void CandidateKeys::write(int64_t at, double undrawn) {
  if (!args_.keys.data) return;
  const double location = std::log(undrawn),
               exponential = -std::log(candidateCoin(args_, row_, request_, PW_DRAW_KEY, at));
  double key = location - std::log(exponential);
  if (at == 0 && args_.first_keys.data)
    key = readElement(args_.first_keys.data, PW_F32, row_ * args_.first_keys.strides[0]);
  else if (at > 0)
    key = location - std::log(std::exp(location - previous_) + exponential);
  writeElement(rowPointer(args_.keys, row_), PW_F32, at, key);
  previous_ = key;
}

}  // namespace pw::cpu
