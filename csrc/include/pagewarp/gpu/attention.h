// SPDX-License-Identifier: Apache-2.0
/// @file Parameters of the attention kernels. Strides are in elements.
#pragma once
#include <stdint.h>

#include "pagewarp/attention.h"
#include "pagewarp/gpu/divisor.h"

/// One pool of a cache layer, [pages, pageSize, kvHeads, headDim], and its scales, NULL without.
typedef struct pw_gpu_kv_pool {
  const void* data;
  const float* scale;
  int64_t strides[3];
  int64_t scaleStrides[3];
} pw_gpu_kv_pool;

/// Where rows of results go, [rows, heads, headDim], and how a row is finished.
typedef struct pw_gpu_attention_out {
  void* data;
  float* lse;          ///< or NULL
  const float* sinks;  ///< or NULL
  int64_t strides[2];
  int64_t lseStrides[2];
  int64_t sinkStride;
  int32_t dtype;
} pw_gpu_attention_out;

typedef struct pw_gpu_attention_params {
  const pw_attention_image* image;  ///< in device memory
  const void* q;
  int64_t qStrides[2];
  pw_gpu_kv_pool k, v;
  pw_gpu_attention_out out;
  float* partials;           ///< sums [partialRows, heads, headDim], then (top, denominator) [partialRows, heads]
  const float* alibiSlopes;  ///< or NULL
  int64_t slopeStride;
  float scale, softCap;
  int32_t heads, headDim;
  int32_t qType;      ///< pw_dtype
  int32_t cacheType;  ///< pw_kv_type
  int32_t items;      ///< items that the plan has for this row tile are done
  int32_t tile;       ///< row tile of a block, which goes over an item with more rows in rounds
  pw_gpu_divisor kvHeads, group, pageSize;
  int32_t clearEnd;  ///< rows from the plan's own ones up to this one are cleared
} pw_gpu_attention_params;

/// Joins the partial results of a plan's merges.
typedef struct pw_gpu_attention_merge_params {
  const pw_attention_image* image;
  const float* partials;
  pw_gpu_attention_out out;
  int32_t headDim;
  pw_gpu_divisor heads;
} pw_gpu_attention_merge_params;

/// pw_merge_states_args.
typedef struct pw_gpu_merge_states_params {
  const void* outs;  ///< [parts, rows, heads, headDim]
  const float* lses;
  int64_t outStrides[3], lseStrides[3];
  pw_gpu_attention_out out;
  int32_t parts, rows, headDim, dtype;
  pw_gpu_divisor heads;
} pw_gpu_merge_states_params;
