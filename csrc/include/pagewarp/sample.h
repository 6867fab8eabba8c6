// SPDX-License-Identifier: Apache-2.0
/// @file Drawing tokens from logits.
///
/// One composition order, that of Hugging Face's generation and of llama.cpp's defaults where they agree: penalties,
/// then temperature, then top-k, then top-p of what top-k left (renormalised), then min-p, then the draw.
///
/// - Penalties work on logits, rounded to f32. Repetition (Keskar et al., "CTRL", 2019): a token seen in the prompt or
/// the
///   output has its logit divided by r when positive, multiplied by r otherwise. Frequency and presence (OpenAI): a
///   token of the output loses frequency * count + presence.
/// - Temperature below PW_GREEDY_TEMPERATURE is greedy: the first token in the order below, with probability 1.
/// - Tokens are totally ordered: larger (penalised) logit first, lower id first among equals. Top-k keeps the first k;
/// k = 0
///   or k >= vocabulary keeps all (Fan et al., 2018). Top-p keeps the shortest prefix with probability >= p, at least
///   one token; p >= 1 keeps all (Holtzman et al., 2019). Min-p keeps tokens with logit >= max + T ln(m), that is, p >=
///   m p_max (Nguyen et al., 2024). Each keeps a prefix of the order, so the result is described by its last member and
///   its mass.
/// - A row is invalid (PW_INVALID_LOGITS, token -1) when it has a NaN or +inf, or no finite value, and so is one whose
///   parameters are not within their ranges (PW_INVALID_ARGUMENT).
#pragma once
#include "pagewarp/philox.h"
#include "pagewarp/tensor.h"

#define PW_GREEDY_TEMPERATURE 1e-5f

/// Columns of pw_sampling.parameters, all finite, with the values that they may have.
typedef enum pw_sampling_field {
  PW_TEMPERATURE = 0,         ///< at least 0
  PW_TOP_K = 1,               ///< at least 0
  PW_TOP_P = 2,               ///< 0 to 1
  PW_MIN_P = 3,               ///< 0 to 1
  PW_REPETITION_PENALTY = 4,  ///< above 0; 1 is off
  PW_PRESENCE_PENALTY = 5,    ///< 0 is off
  PW_FREQUENCY_PENALTY = 6,   ///< 0 is off
  PW_SAMPLING_FIELDS = 8,     ///< row length; the last column is reserved
} pw_sampling_field;

/// Is x in [least, most]? False for NaN.
PW_HOST_DEVICE static inline int pw_is_within(float x, float least, float most) { return x >= least && x <= most; }

/// Does a request's row of parameters keep to the ranges of pw_sampling_field?
PW_HOST_DEVICE static inline int pw_sampling_is_valid(const float* p) {
  const float largest = 3.402823466e38f;
  return pw_is_within(p[PW_TEMPERATURE], 0.0f, largest) && p[PW_TOP_K] >= 0.0f &&
         pw_is_within(p[PW_TOP_P], 0.0f, 1.0f) && pw_is_within(p[PW_MIN_P], 0.0f, 1.0f) &&
         p[PW_REPETITION_PENALTY] > 0.0f && pw_is_within(p[PW_REPETITION_PENALTY], 0.0f, largest) &&
         pw_is_within(p[PW_PRESENCE_PENALTY], -largest, largest) &&
         pw_is_within(p[PW_FREQUENCY_PENALTY], -largest, largest);
}

/// Tokens that top-k keeps of a vocabulary; 0: all of them.
PW_HOST_DEVICE static inline int32_t pw_sampling_top_k(const float* p, int64_t vocabulary) {
  return p[PW_TOP_K] >= 1.0f && p[PW_TOP_K] < (float)vocabulary ? (int32_t)p[PW_TOP_K] : 0;
}

/// What a random number is for: the `stream` argument of pw_philox, so that no two uses share a number. The draft
/// model's own draws use PW_DRAW_SAMPLE; they never meet the coins that judge them.
typedef enum pw_draw {
  PW_DRAW_SAMPLE = 0,    ///< plain sampling
  PW_DRAW_ACCEPT = 1,    ///< verification: accept or reject a drafted token
  PW_DRAW_RESIDUAL = 2,  ///< verification: the token after the accepted ones
  PW_DRAW_KEY = 3,       ///< the keys of candidates drawn without replacement
} pw_draw;

/// How each request of a batch samples. Device tensors, so that a replayed command list sees new values.
typedef struct pw_sampling {
  pw_tensor parameters;      ///< [requests, PW_SAMPLING_FIELDS] f32, rows contiguous
  pw_tensor seeds;           ///< [requests] i64, read as 64 bits
  pw_tensor offsets;         ///< [requests] i32 | i64: index of the token drawn next, usually its position
  pw_tensor history;         ///< optional [total] i32, the tokens so far of all requests; negative ids are padding
  pw_tensor history_indptr;  ///< [requests + 1] i32, with history: request b owns [indptr[b], indptr[b + 1])
  pw_tensor prompt_lengths;  ///< optional [requests] i32: that many leading tokens of each history are prompt, which
                             ///< only the repetition penalty looks at
} pw_sampling;

/// ids[r] = the token drawn for row r.
/// Log-probabilities are those of the model: log-softmax of the logits as given, before penalties and temperature.
typedef struct pw_sample_args {
  pw_tensor logits;        ///< [rows, vocabulary], f32 | f16 | bf16, rows contiguous
  pw_sampling sampling;    ///< requests == rows
  pw_tensor ids;           ///< [rows], i32 | i64
  pw_tensor logprobs;      ///< optional [rows] f32, of the drawn token
  pw_tensor top_ids;       ///< optional [rows, n] i32, the n most probable tokens in order
  pw_tensor top_logprobs;  ///< [rows, n] f32, with top_ids
} pw_sample_args;

/// ids[r] = the first token of row r in the total order.
typedef struct pw_argmax_args {
  pw_tensor logits;  ///< [rows, vocabulary], f32 | f16 | bf16, rows contiguous
  pw_tensor ids;     ///< [rows], i32 | i64
} pw_argmax_args;
