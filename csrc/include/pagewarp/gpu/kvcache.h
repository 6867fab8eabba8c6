// SPDX-License-Identifier: Apache-2.0
/// @file Parameters of the cache kernels. Strides are in elements unless they are said to be in bytes.
#pragma once
#include <stdint.h>

#include "pagewarp/gpu/error.h"
#include "pagewarp/gpu/rope.h"
#include "pagewarp/kvcache.h"

/// A pool that tokens are written to or read from, and the tokens themselves, [rows, kvHeads, headDim].
typedef struct pw_gpu_kv_tokens {
  void* pool;
  float* scale;  ///< or NULL
  void* tokens;
  int64_t poolStrides[3], scaleStrides[3], tokenStrides[2];
  int32_t poolType;   ///< pw_kv_type
  int32_t tokenType;  ///< pw_dtype
} pw_gpu_kv_tokens;

/// pw_append_kv_args and pw_gather_kv_args.
typedef struct pw_gpu_kv_rows_params {
  pw_gpu_kv_tokens k, v;
  const void* slots;
  int64_t slotStride;
  int64_t slotCount;  ///< of the pool
  int32_t slotsAre64;
  int32_t rows, kvHeads, headDim;
  int32_t pageSize;
  int32_t vectors;  ///< rows may be accessed in 4 elements at a time
  pw_gpu_error* error;
} pw_gpu_kv_rows_params;

/// pw_rope_append_kv_args: a warp for each query head, for the keys and for the values of each kv head of each row.
typedef struct pw_gpu_rope_append_params {
  pw_gpu_kv_rows_params append;
  pw_gpu_heads q, qOut;
  pw_gpu_rotation rotation;     ///< of queries
  pw_gpu_rotation keyRotation;  ///< of keys
  int32_t heads;                ///< of q; 0 without
} pw_gpu_rope_append_params;

/// pw_key_bounds_args: a warp for each page and kv head.
typedef struct pw_gpu_key_bounds_params {
  const void* pool;
  const float* scale;  ///< or NULL
  const int32_t* pages;
  const int32_t* counts;
  float* low;
  float* high;
  int64_t poolStrides[3], scaleStrides[3], lowStrides[2], highStrides[2];
  int64_t pageStride, countStride;
  int32_t type;  ///< pw_kv_type
  int32_t count, kvHeads, headDim, pageSize, pagesInPool;
  int32_t vectors;  ///< rows may be accessed in 4 elements at a time
  pw_gpu_error* error;
} pw_gpu_key_bounds_params;

/// One tensor of all layers, as rows of `rowBytes` bytes at strides in bytes.
typedef struct pw_gpu_kv_pool_bytes {
  char* data;
  int64_t layerStride, pageStride, slotStride, headStride;
  int32_t heads;
  int32_t rowBytes;
} pw_gpu_kv_pool_bytes;

/// Copies slots within every layer of every pool: whole pages (pw_copy_pages_args) or single slots, in order
/// (pw_move_slots_args).
typedef struct pw_gpu_kv_moves_params {
  pw_gpu_kv_pool_bytes pools[PW_KV_MAX_POOLS];
  int32_t poolCount, layers;
  const void* from;  ///< [count] i32 pages or i64 slots
  const void* to;
  int32_t count;
  int32_t pageSize;
} pw_gpu_kv_moves_params;
