// SPDX-License-Identifier: Apache-2.0
/// @file One request's sampling parameters, its random numbers, and its penalties.
#pragma once
#include "sample/logits.cuh"

namespace pw {
namespace sampling {

constexpr int kMostListed = PW_GPU_SAMPLE_MOST_TOP;  ///< tokens of a row that are kept in order while it is read

/// One request's row of pw_sampling.
struct Request {
  float temperature, topP, minP, repetition, presence, frequency;
  int topK;   ///< 0: off
  int valid;  ///< are the parameters within the ranges of pw_sampling_field?
  uint64_t seed;
  int64_t offset;
  const int32_t* history;
  int historyLength;
  int64_t promptLength;

  /// What logits are multiplied by; 0: greedy.
  __device__ float scale() const { return temperature < PW_GREEDY_TEMPERATURE ? 0.0f : 1.0f / temperature; }
  __device__ bool isPenalized() const { return repetition != 1.0f || presence != 0.0f || frequency != 0.0f; }
  /// How many of the first tokens are to be listed while a row is read, so that filters find their cuts among them.
  __device__ int listed() const {
    if (temperature < PW_GREEDY_TEMPERATURE || topK > kMostListed) return 0;
    return topK > 0 ? topK : topP < 1.0f || minP > 0.0f ? 1 : 0;
  }
};

/// The filters and penalties of another parameter row, everything else unchanged.
__device__ inline void setParameters(Request& request, const float* p, int vocabulary) {
  request.temperature = p[PW_TEMPERATURE];
  request.topK = pw_sampling_top_k(p, vocabulary);
  request.topP = p[PW_TOP_P];
  request.minP = p[PW_MIN_P];
  request.repetition = p[PW_REPETITION_PENALTY];
  request.presence = p[PW_PRESENCE_PENALTY];
  request.frequency = p[PW_FREQUENCY_PENALTY];
  request.valid = request.valid && pw_sampling_is_valid(p);
}

__device__ inline Request loadRequest(const pw_gpu_sampling& s, int index, int vocabulary) {
  Request request{};
  request.valid = 1;
  setParameters(request, s.parameters + index * s.parameterStride, vocabulary);
  request.seed = static_cast<uint64_t>(readInteger(s.seeds, index));
  request.offset = readInteger(s.offsets, index);
  if (s.history) {
    const int64_t first = readInteger(s.historyBegin, index), last = readInteger(s.historyBegin, index + 1);
    const int64_t begin = first < 0 ? 0 : first > s.historySize ? s.historySize : first;
    const int64_t end = last < begin ? begin : last > s.historySize ? s.historySize : last;
    request.history = s.history + begin;
    request.historyLength = static_cast<int>(end - begin);
    if (s.promptLengths.data) request.promptLength = readInteger(s.promptLengths, index);
  }
  return request;
}

/// The request's uniform number in (0, 1) for one use at one offset.
__device__ inline double uniformOf(const Request& request, pw_draw use, int64_t offset) {
  const pw_philox4 words = pw_philox(request.seed, use, static_cast<uint64_t>(offset));
  return pw_uniform_f64(words.x, words.y);
}

/// Where the logits that penalties change are kept beside a row.
struct PenaltyMemory {
  float* logits;      ///< one per token of the vocabulary, of which only the changed ones are set
  int32_t* counts;    ///< likewise, scratch
  uint32_t* changed;  ///< a bit per token, of whole blocks of tokens
};

__device__ inline PenaltyMemory penaltyMemory(const pw_gpu_sample_workspace& workspace, char* own) {
  return {reinterpret_cast<float*>(own + workspace.logitsAt), reinterpret_cast<int32_t*>(own + workspace.countsAt),
          reinterpret_cast<uint32_t*>(own + workspace.changedAt)};
}

/// Adjusts the logits of the request's history followed by `extra` further output tokens, reading none but theirs.
/// Called by the whole block; ends with a barrier.
/// @returns for all threads: -1, or a token id that is not below the vocabulary size, and then no penalty is applied
__device__ __noinline__ inline int penalize(LogitsRow& row, const Request& request, const int32_t* extra,
                                            int extraLength, const PenaltyMemory& memory) {
  constexpr int32_t kInPrompt = 1 << 30;  // above any count of output tokens
  __shared__ int wrong;
  const int total = request.historyLength + extraLength, threads = static_cast<int>(blockDim.x);
  const int first = static_cast<int>(threadIdx.x);
  const auto tokenAt = [&](int i) {
    return i < request.historyLength ? request.history[i] : extra[i - request.historyLength];
  };
  if (first == 0) wrong = -1;
  __syncthreads();
  for (int i = first; i < row.blocks() * (kBlock / 32); i += threads) memory.changed[i] = 0;
  for (int i = first; i < total; i += threads) {
    const int token = tokenAt(i);
    if (token >= row.size)
      atomicMax(&wrong, token);
    else if (token >= 0)
      memory.counts[token] = 0;
  }
  __syncthreads();
  if (wrong >= 0) return wrong;
  for (int i = first; i < total; i += threads) {
    const int token = tokenAt(i);
    if (token < 0) continue;
    if (i < request.historyLength && i < request.promptLength)
      atomicOr(&memory.counts[token], kInPrompt);
    else
      atomicAdd(&memory.counts[token], 1);
  }
  __syncthreads();
  for (int i = first; i < total; i += threads) {
    const int token = tokenAt(i);
    if (token < 0) continue;
    const int32_t count = atomicExch(&memory.counts[token], 0);  // whoever comes first takes it all
    if (count == 0) continue;
    const int32_t drawn = count & ~kInPrompt;
    float logit = row.given(token);
    logit = logit > 0.0f ? __fdiv_rn(logit, request.repetition) : __fmul_rn(logit, request.repetition);
    // Rounded step by step, as on the CPU.
    if (drawn > 0)
      logit = __fsub_rn(logit, __fadd_rn(__fmul_rn(request.frequency, static_cast<float>(drawn)), request.presence));
    memory.logits[token] = logit;
    atomicOr(&memory.changed[token / 32], 1u << (token % 32));
  }
  __syncthreads();
  row.changed = memory.changed;
  row.penalized = memory.logits;
  return -1;
}

}  // namespace sampling
}  // namespace pw
