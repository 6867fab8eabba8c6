// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/sample/request.h"
#include "pagewarp/verify.h"

namespace pw::cpu {

/// A row without candidates.
void clearCandidates(const pw_candidates_args& args, int64_t row);
void writeCandidate(const pw_candidates_args& args, int64_t row, int64_t at, int64_t token, double probability);
/// The number for the `at`-th candidate of a row.
double candidateCoin(const pw_candidates_args& args, int64_t row, const Request& request, pw_draw use, int64_t at);

/// The falling keys of candidates drawn without replacement.
class CandidateKeys {
 public:
  CandidateKeys(const pw_candidates_args& args, int64_t row, const Request& request)
      : args_(args), row_(row), request_(request) {}
  /// Draws and writes the key of the `at`-th candidate, before which `undrawn` of the probability was left.
  void write(int64_t at, double undrawn);

 private:
  const pw_candidates_args& args_;
  int64_t row_;
  const Request& request_;
  double previous_ = 0;
};

}  // namespace pw::cpu
