// SPDX-License-Identifier: Apache-2.0
/// @file Speculative verification: which drafted tokens the target model keeps, and the token after them.
///
/// Rejection sampling (Leviathan et al., "Fast inference from transformers via speculative decoding", ICML 2023; Chen
/// et al., "Accelerating large language model decoding with speculative sampling", 2023). A token x drafted from q is
/// accepted with probability min(1, p(x) / q(x)); the first rejected one is replaced by a draw from relu(p - q),
/// normalised; when all are accepted, one more token is drawn from the next p. The emitted tokens are distributed as if
/// each had been sampled from p. p and q are what pw_sampling leaves of the two models' logits, by the code of plain
/// sampling; drafted tokens that were accepted count as history. A deterministic drafter is q = 1 on its token. Greedy:
/// accept while the drafted token is the first of the total order.
///
/// Rows are nodes of a draft: request b with k_b drafted tokens has k_b + 1 rows of target logits, row 0 after its last
/// committed token and row j + 1 after drafted token j. In a chain the parent of row j + 1 is row j; a tree is the same
/// layout with an array of parents.
#pragma once
#include "pagewarp/sample.h"

typedef struct pw_verify_args {
  pw_tensor
      target_logits;  ///< [total + requests, vocabulary], f32 | f16 | bf16; request b begins at draft_indptr[b] + b
  pw_tensor draft_tokens;  ///< [total] i32; a negative id ends its request's draft early (padding)
  pw_tensor draft_indptr;  ///< [requests + 1] i32: request b drafted [indptr[b], indptr[b + 1])
  pw_tensor
      draft_logits;  ///< optional [total, vocabulary]: row i is what token i was sampled from; absent: deterministic
  pw_tensor draft_parameters;  ///< optional [requests, PW_SAMPLING_FIELDS] f32, with draft_logits: how the drafter
                               ///< sampled, when not with the target's parameters
  pw_sampling sampling;        ///< offsets[b] belongs to row 0 of request b, offsets[b] + j to row j
  int greedy;                  ///< take every temperature as 0
  pw_tensor accepted_lengths;  ///< [requests] i32: accepted drafted tokens; one more token than that is emitted
  pw_tensor tokens;            ///< [requests, max drafted + 1] i32: accepted tokens, then the last one, then -1
  pw_tensor last_tokens;       ///< [requests] i32: the last emitted token, input of the next step
  pw_tensor positions;         ///< optional [requests] i32 | i64: positions of the rows 0
  pw_tensor next_positions;    ///< with positions, same type: positions[b] + accepted_lengths[b] + 1
  pw_tensor logprobs;  ///< optional [requests, max drafted + 1] f32: log-softmax of the target's logits as given, at
                       ///< the emitted tokens; 0 in padding
} pw_verify_args;
