// SPDX-License-Identifier: Apache-2.0
/// @file The paged key-value cache as kernels see it: pools of pages and slot numbers. Which sequence owns which page
/// is the caller's business (lib/kv).
///
/// A slot is page * pageSize + offset: one token's place in every layer.
#pragma once
#include <stdint.h>

#include "pagewarp/tensor.h"

/// How a cache stores keys and values. Codes have one f32 scale per token and kv head: x = code * scale; kv_codes.h
/// defines them.
typedef enum pw_kv_type {
  PW_KV_F32 = 0,
  PW_KV_F16 = 1,
  PW_KV_BF16 = 2,
  PW_KV_I8 = 3,        ///< PW_I8 codes
  PW_KV_FP8_E4M3 = 4,  ///< PW_U8, each a floating-point number of 8 bits
  PW_KV_FP8_E5M2 = 5,  ///< reserved: no backend stores it yet
  PW_KV_I4 = 6,        ///< PW_U8, two codes each: an even element in the low half, the next one in the high half
} pw_kv_type;

/// One layer's pools. Strides are free (NHD and HND are stride patterns; K and V may differ) but for the last
/// dimension, which is contiguous.
typedef struct pw_kv_layer {
  pw_kv_type type;
  pw_tensor k;       ///< [pages, pageSize, kvHeads, headDim]; PW_KV_I4: headDim / 2
  pw_tensor v;       ///< same shape
  pw_tensor kScale;  ///< codes: f32 [pages, pageSize, kvHeads]
  pw_tensor vScale;
} pw_kv_layer;

/// Writes new tokens: for each row, k and v go to slots[row], converted to the cache's type; -1 skips the row.
typedef struct pw_append_kv_args {
  pw_tensor k;  ///< [rows, kvHeads, headDim] f32 | f16 | bf16, last dimension contiguous
  pw_tensor v;
  pw_tensor slots;  ///< [rows] i32 | i64; a slot outside the pool is a data error and is skipped
  pw_kv_layer cache;
} pw_append_kv_args;

/// Reads tokens back: the inverse of pw_append_kv_args. Rows whose slot is -1 become zero.
typedef struct pw_gather_kv_args {
  pw_kv_layer cache;
  pw_tensor slots;  ///< [rows] i32 | i64
  pw_tensor k;      ///< out, [rows, kvHeads, headDim] f32 | f16 | bf16
  pw_tensor v;
} pw_gather_kv_args;

/// Tensors of a whole cache, all layers at once, each [layers, pages, pageSize, ...].
#define PW_KV_MAX_POOLS 4
typedef struct pw_kv_pools {
  int32_t count;
  pw_tensor pools[PW_KV_MAX_POOLS];  ///< k, v and, for codes, their scales
} pw_kv_pools;

/// Copies whole pages (copy on write). Sources and targets are disjoint.
typedef struct pw_copy_pages_args {
  pw_kv_pools cache;
  int32_t count;
  const int32_t* from;  ///< [count] pages; host memory
  const int32_t* to;    ///< [count]
} pw_copy_pages_args;

/// Moves tokens in place, in the order given: a target may be the source of an earlier move, never of a later one.
typedef struct pw_move_slots_args {
  pw_kv_pools cache;
  int32_t count;
  const int64_t* from;  ///< [count] slots; host memory
  const int64_t* to;    ///< [count]
} pw_move_slots_args;
