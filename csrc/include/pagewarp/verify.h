// SPDX-License-Identifier: Apache-2.0
/// @file Speculative decoding: drawing candidates from a draft model's logits, and verification, which decides which
/// drafted tokens the target model keeps and what the token after them is.
///
/// A draft is a tree whose root is the last committed token; a chain is the tree in which node j + 1 is the only child
/// of node j. p and q are what pw_sampling leaves of the target's and the drafter's logits, by the code of plain
/// sampling; the accepted tokens above a node count as history. A deterministic drafter is q = 1 on each token.
///
/// Verification walks down from the root: at an accepted node it judges the children in order of their index, goes on
/// below the first that is accepted, and emits one more token where none is. Siblings with the same token are one
/// continuation that was drawn several times: the children of all of them are judged. The rules, with r = p before the
/// first child:
///
/// - PW_VERIFY_REJECTION. Accept x with probability min(1, r(x) / q(x)), else r becomes relu(r - q), normalised; the
///   last token is drawn from what r has become. One child: speculative sampling (Leviathan et al., ICML 2023; Chen et
///   al., 2023). Several, drawn independently from q: multi-round speculative sampling (SpecInfer; Miao et al., ASPLOS
///   2024). With `distinct`, siblings were drawn without replacement, and q is that of the tokens not drawn yet
///   (recursive rejection sampling; Jeon et al., 2024; Yang et al., 2024). Deterministic: a rejected token loses its
///   probability (Medusa and EAGLE trees).
/// - PW_VERIFY_GREEDY. The same with every temperature 0: accept the token that is first in the total order.
/// - PW_VERIFY_K_SEQ. k independent candidates as optimal transport (SpecTr; Sun et al., NeurIPS 2023): accept x with
///   probability min(1, p(x) / (rho q(x))) for the smallest rho that leaves a residual, else draw from that residual.
/// - PW_VERIFY_BLOCK. Chains only: the whole block is judged at once, and at least as many tokens are accepted on
///   average as token by token (block verification; Sun et al., ICLR 2025).
/// - PW_VERIFY_MATCH. Draw from p as plain sampling does, with its very number, and accept the child that has the
/// token.
///   A deterministic draft is accepted as often as by rejection, and the tokens are those of plain sampling with the
///   same seed, whatever was drafted.
/// All of these are lossless: emitted tokens are distributed as if each had been sampled from p. These two are not:
/// - PW_VERIFY_TYPICAL. Accept x when p(x) > min(epsilon, delta e^-H(p)) (Medusa; Cai et al., 2024).
/// - PW_VERIFY_THRESHOLD. Accept x when p(x) >= threshold: BiLD's rollback with threshold e^-alpha (Kim et al., 2023).
/// Both keep the deepest accepted path, the first of several, and draw the last token from p.
#pragma once
#include "pagewarp/sample.h"

typedef enum pw_verify_rule {
  PW_VERIFY_REJECTION = 0,
  PW_VERIFY_GREEDY = 1,
  PW_VERIFY_K_SEQ = 2,
  PW_VERIFY_BLOCK = 3,
  PW_VERIFY_TYPICAL = 4,
  PW_VERIFY_THRESHOLD = 5,
  PW_VERIFY_MATCH = 6,
} pw_verify_rule;

/// Request b drafted k_b tokens, the nodes 0 to k_b - 1 of its tree, and has k_b + 1 rows of target logits: row 0 after
/// its last committed token, row j + 1 after node j.
typedef struct pw_verify_args {
  pw_tensor
      target_logits;  ///< [total + requests, vocabulary], f32 | f16 | bf16; request b begins at draft_indptr[b] + b
  pw_tensor draft_tokens;   ///< [total] i32; a node with a negative id, and all below it, are padding
  pw_tensor draft_indptr;   ///< [requests + 1] i32: request b drafted [indptr[b], indptr[b + 1])
  pw_tensor draft_parents;  ///< optional [total] i32: each node's parent, an earlier node of the request, or -1 for the
                            ///< root; absent: chains
  pw_tensor draft_logits;   ///< optional [rows, vocabulary]: what tokens were sampled from; absent: deterministic
  pw_tensor draft_rows;     ///< optional [total] i32, with draft_logits: each token's row; absent: token i has row i
  pw_tensor draft_parameters;  ///< optional [requests, PW_SAMPLING_FIELDS] f32, with draft_logits: how the drafter
                               ///< sampled, when not with the target's parameters
  int distinct;                ///< siblings were drawn without replacement, in order of their index
  pw_sampling sampling;        ///< offsets[b] belongs to row 0 of request b, offsets[b] + d to rows of depth d
  pw_verify_rule rule;
  float threshold;             ///< PW_VERIFY_THRESHOLD; epsilon of PW_VERIFY_TYPICAL
  float delta;                 ///< of PW_VERIFY_TYPICAL
  pw_tensor accepted_lengths;  ///< [requests] i32: accepted drafted tokens; one more token than that is emitted
  pw_tensor tokens;            ///< [requests, deepest + 1] i32: accepted tokens, then the last one, then -1
  pw_tensor last_tokens;       ///< [requests] i32: the last emitted token, input of the next step
  pw_tensor path;              ///< optional [requests, deepest] i32: the accepted nodes, then -1
  pw_tensor positions;         ///< optional [requests] i32 | i64: positions of the rows 0
  pw_tensor next_positions;    ///< with positions, same type: positions[b] + accepted_lengths[b] + 1
  pw_tensor logprobs;  ///< optional [requests, deepest + 1] f32: log-softmax of the target's logits as given, at
                       ///< the emitted tokens; 0 in padding
} pw_verify_args;

typedef enum pw_candidate_kind {
  PW_CANDIDATES_TOP = 0,          ///< the first k of the total order
  PW_CANDIDATES_INDEPENDENT = 1,  ///< k draws
  PW_CANDIDATES_DISTINCT = 2,     ///< k draws without replacement
} pw_candidate_kind;

/// Draws several candidates a row: the children of a node of a draft tree.
///
/// PW_CANDIDATES_DISTINCT gives the order of the k largest of log q(x) + Gumbel(x), the Gumbel top-k trick (Kool et
/// al., "Stochastic beams and where to find them", ICML 2019). They are found from the top down: the i-th key is a
/// Gumbel number located at the log of the probability not drawn yet, truncated at the key before, so that only k
/// numbers are drawn a row. Keys are relative to log q summing to 0; with first_keys they are those of a stochastic
/// beam search.
typedef struct pw_candidates_args {
  pw_tensor logits;      ///< [rows, vocabulary], f32 | f16 | bf16, rows contiguous
  pw_sampling sampling;  ///< requests == rows
  pw_candidate_kind kind;
  pw_tensor branches;  ///< optional [rows] i32: rows with the same seed and offset, such as the nodes of one depth of a
                       ///< tree, draw independently when their branches differ; at most 2^24
  pw_tensor ids;       ///< [rows, k] i32, k <= 64; -1 beyond the support
  pw_tensor logprobs;  ///< [rows, k] f32: log q at the candidates, after all filters; -inf with id -1
  pw_tensor first_keys;  ///< optional [rows] f32, with keys: the key of each row's first candidate
  pw_tensor keys;        ///< optional [rows, k] f32, with PW_CANDIDATES_DISTINCT; falling
} pw_candidates_args;

/// Candidates a row; the siblings of a node have draws of their own up to here.
#define PW_MAX_CANDIDATES 64
