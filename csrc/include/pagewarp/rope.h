// SPDX-License-Identifier: Apache-2.0
/// @file Rotary position embedding (Su et al., "RoFormer", 2021) in two commands: the angles of a step's rows once,
/// then the rotation of every layer's queries and keys.
#pragma once
#include "pagewarp/tensor.h"

/// table[r] = (cos(p_r f_0), ..., cos(p_r f_{h-1}), sin(p_r f_0), ..., sin(p_r f_{h-1})) * magnitude, h = rotary_dim
/// / 2.
///
/// A frequency is the sum of two f32, high and low part, which makes 48 bits of it: the angle is formed and reduced in
/// float64, so that position 10^6 is as accurate as position 1.
typedef struct pw_rope_table_args {
  pw_tensor positions;    ///< [rows], i32 | i64
  pw_tensor frequencies;  ///< [2, h] f32, contiguous: high parts, low parts; radians per position
  pw_tensor table;        ///< [rows, 2 h] f32, rows contiguous
  float magnitude;        ///< factor on cos and sin: YaRN's attention scale, else 1
} pw_rope_table_args;

/// Which two elements of a head form one rotated pair.
typedef enum pw_rope_pairing {
  PW_ROPE_INTERLEAVED = 0,  ///< (x[2i], x[2i + 1]): RoFormer, Meta's Llama, Llama tensors in GGUF files
  PW_ROPE_HALVES = 1,       ///< (x[i], x[i + h]): GPT-NeoX, Hugging Face Llama, Qwen
} pw_rope_pairing;

/// Rotates the first rotary_dim elements of every head and copies the others (moves nothing when in place).
typedef struct pw_rope_args {
  pw_tensor q;      ///< [rows, heads, dim], f32 | f16 | bf16, any strides with a contiguous last dimension
  pw_tensor q_out;  ///< same shape; may be q
  pw_tensor k;      ///< optional [rows, kv_heads, dim]
  pw_tensor k_out;  ///< same shape as k; may be k
  pw_tensor table;  ///< [rows, rotary_dim], see pw_rope_table_args; rotary_dim even, at most dim
  pw_rope_pairing pairing;
} pw_rope_args;
