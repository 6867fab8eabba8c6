// SPDX-License-Identifier: Apache-2.0
#include "cpu/sample/request.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "cpu/rows.h"

namespace pw::cpu {
namespace {

constexpr int32_t kInPrompt = 1 << 30;  // above any count of output tokens

bool countTokens(const int32_t* tokens, int64_t length, int64_t vocabulary, int32_t* counts, int64_t promptLength) {
  for (int64_t i = 0; i < length; ++i) {
    if (tokens[i] < 0) continue;
    if (tokens[i] >= vocabulary) return false;
    if (i < promptLength)
      counts[tokens[i]] |= kInPrompt;
    else
      ++counts[tokens[i]];
  }
  return true;
}

/// Adjusts the logit of each token once: its count is taken when it is met first.
void penalize(float* logits, const Request& request, const int32_t* tokens, int64_t length, int32_t* counts) {
  for (int64_t i = 0; i < length; ++i) {
    const int32_t token = tokens[i];
    if (token < 0 || counts[token] == 0) continue;
    const int32_t count = counts[token] & ~kInPrompt;
    counts[token] = 0;
    float logit = logits[token];
    logit = logit > 0.0f ? logit / request.repetitionPenalty : logit * request.repetitionPenalty;
    if (count > 0) logit -= request.frequencyPenalty * static_cast<float>(count) + request.presencePenalty;
    logits[token] = logit;
  }
}

}  // namespace

int64_t readInteger(const pw_tensor& vector, int64_t i) {
  const int64_t at = i * vector.strides[0];
  return vector.dtype == PW_I64 ? static_cast<const int64_t*>(vector.data)[at]
                                : static_cast<const int32_t*>(vector.data)[at];
}

void writeInteger(const pw_tensor& vector, int64_t i, int64_t value) {
  const int64_t at = i * vector.strides[0];
  if (vector.dtype == PW_I64)
    static_cast<int64_t*>(vector.data)[at] = value;
  else
    static_cast<int32_t*>(vector.data)[at] = static_cast<int32_t>(value);
}

Request withParameters(Request request, const pw_tensor& parameters, int64_t index, int64_t vocabulary) {
  const auto* p = static_cast<const float*>(rowPointer(parameters, index));
  request.temperature = p[PW_TEMPERATURE];
  request.topK = pw_sampling_top_k(p, vocabulary);
  request.topP = p[PW_TOP_P];
  request.minP = p[PW_MIN_P];
  request.repetitionPenalty = p[PW_REPETITION_PENALTY];
  request.presencePenalty = p[PW_PRESENCE_PENALTY];
  request.frequencyPenalty = p[PW_FREQUENCY_PENALTY];
  request.valid = request.valid && pw_sampling_is_valid(p);
  return request;
}

Request loadRequest(const pw_sampling& s, int64_t index, int64_t vocabulary) {
  Request request = withParameters({}, s.parameters, index, vocabulary);
  request.seed = static_cast<uint64_t>(readInteger(s.seeds, index));
  request.offset = readInteger(s.offsets, index);
  if (s.history.data) {
    const int64_t total = s.history.shape[0];
    const int64_t begin = std::clamp<int64_t>(readInteger(s.history_indptr, index), 0, total);
    const int64_t end = std::clamp<int64_t>(readInteger(s.history_indptr, index + 1), begin, total);
    request.history = static_cast<const int32_t*>(s.history.data) + begin;
    request.historyLength = end - begin;
    if (s.prompt_lengths.data) request.promptLength = readInteger(s.prompt_lengths, index);
  }
  return request;
}

double uniform(const Request& request, pw_draw use, int64_t offset, int64_t round) {
  const uint64_t stream = static_cast<uint64_t>(round) << 32 | static_cast<uint64_t>(use);
  const pw_philox4 words = pw_philox(request.seed, stream, static_cast<uint64_t>(offset));
  return pw_uniform_f64(words.x, words.y);
}

bool applyPenalties(float* logits, int64_t vocabulary, const Request& request, const int32_t* extra,
                    int64_t extraLength, int32_t* counts) {
  std::memset(counts, 0, static_cast<size_t>(vocabulary) * sizeof *counts);
  if (!countTokens(request.history, request.historyLength, vocabulary, counts, request.promptLength)) return false;
  if (!countTokens(extra, extraLength, vocabulary, counts, 0)) return false;
  penalize(logits, request, request.history, request.historyLength, counts);
  penalize(logits, request, extra, extraLength, counts);
  return true;
}

void failInvalidLogits(Context& context, const char* op, int64_t row) {
  context.fail(PW_INVALID_LOGITS, std::string(op) + ": row " + std::to_string(row) +
                                      " of the logits has a NaN or +inf, or no finite value");
}

void failInvalidParameters(Context& context, const char* op, int64_t request) {
  context.fail(PW_INVALID_ARGUMENT, std::string(op) + ": the sampling parameters of request " +
                                        std::to_string(request) + " are outside of what packSampling allows");
}

void failInvalidToken(Context& context, const char* op, int64_t request, const char* where, int64_t vocabulary) {
  context.fail(PW_INVALID_TOKEN, std::string(op) + ": request " + std::to_string(request) + " has a token id in its " +
                                     where + " that is not below the vocabulary size " + std::to_string(vocabulary));
}

}  // namespace pw::cpu
