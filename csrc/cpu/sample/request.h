// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/context.h"
#include "pagewarp/sample.h"

namespace pw::cpu {

/// One request's row of pw_sampling.
struct Request {
  float temperature = 1.0f;
  int64_t topK = 0;  // 0: off
  float topP = 1.0f;
  float minP = 0.0f;
  float repetitionPenalty = 1.0f;
  float presencePenalty = 0.0f;
  float frequencyPenalty = 0.0f;
  uint64_t seed = 0;
  int64_t offset = 0;
  const int32_t* history = nullptr;
  int64_t historyLength = 0;
  int64_t promptLength = 0;
  bool valid = true;  ///< are the parameters within the ranges of pw_sampling_field?
};

static inline bool isPenalized(const Request& r) {
  return r.repetitionPenalty != 1.0f || r.presencePenalty != 0.0f || r.frequencyPenalty != 0.0f;
}

/// Element `i` of a vector of i32 or i64.
int64_t readInteger(const pw_tensor& vector, int64_t i);
void writeInteger(const pw_tensor& vector, int64_t i, int64_t value);

Request loadRequest(const pw_sampling& sampling, int64_t index, int64_t vocabulary);
/// The filters and penalties of another parameter row, everything else unchanged.
Request withParameters(Request request, const pw_tensor& parameters, int64_t index, int64_t vocabulary);

/// The request's uniform number in (0, 1) for one use at one offset, and there for one of several rounds.
double uniform(const Request& request, pw_draw use, int64_t offset, int64_t round = 0);

/// Applies the penalties of the request's history followed by `extra` output tokens to a row of f32 logits.
/// @param counts scratch, one per token of the vocabulary
/// @returns false when a token id is not below `vocabulary`; the row is then unchanged
bool applyPenalties(float* logits, int64_t vocabulary, const Request& request, const int32_t* extra,
                    int64_t extraLength, int32_t* counts);

void failInvalidLogits(Context& context, const char* op, int64_t row);
void failInvalidParameters(Context& context, const char* op, int64_t request);
void failInvalidToken(Context& context, const char* op, int64_t request, const char* where, int64_t vocabulary);

}  // namespace pw::cpu
