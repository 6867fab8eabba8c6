// SPDX-License-Identifier: Apache-2.0
/// @file What a decoder layer does between its projections and attention, in one command: queries and keys are turned,
/// keys and values go into the cache.
#pragma once
#include "pagewarp/kvcache.h"
#include "pagewarp/rope.h"

/// pw_rope_args and then pw_append_kv_args, bit for bit, but that `k` itself stays as it is: each turned key is rounded
/// to the type of `k` on its way into the cache.
typedef struct pw_rope_append_kv_args {
  pw_tensor q;      ///< optional [rows, heads, headDim] f32 | f16 | bf16, last dimension contiguous
  pw_tensor q_out;  ///< same shape; may be q
  pw_tensor table;  ///< [rows, rotary_dim]
  pw_rope_pairing pairing;
  pw_append_kv_args append;
} pw_rope_append_kv_args;
