// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/gpu/error.h"
#include "pagewarp/matrix.h"

/// Rounds rows to nearest in a block format. A thread per group of 32 columns.
typedef struct pw_gpu_quantize_params {
  const void* x;     ///< [n, k]
  int64_t x_stride;  ///< elements from row to row
  int32_t x_type;    ///< pw_dtype
  uint8_t* out;      ///< `rows` rows of blocks, from `first_row` on
  int64_t row_bytes;
  int32_t format;  ///< PW_MATRIX_W4, W4M or W8: to Q4_0, Q4_1 or Q8_0
  int32_t first_row, rows;
  int32_t k;
} pw_gpu_quantize_params;

/// Packs strips of 64 rows. A warp per block of 32 columns.
typedef struct pw_gpu_pack_params {
  const uint8_t* source;  ///< rows in their source format, the first strip's first row first
  uint8_t* out;           ///< the matrix
  int64_t row_bytes;
  uint32_t type;   ///< of the source: BlockId
  int32_t format;  ///< pw_matrix_format that it is packed to
  int32_t rows;    ///< from source on
  int32_t k;
  int32_t first_strip;  ///< of the matrix, that source begins with
} pw_gpu_pack_params;

/// out[i] = row ids[i] of a packed matrix as numbers; a row of zeros, reported, for an id outside [0, n).
typedef struct pw_gpu_embedding_packed_params {
  const int32_t* ids;
  const void* weight;
  const float* levels;   ///< W4T: [level_tables, 16]; W4N: factors [level_tables]
  const int32_t* order;  ///< [k] or null: where in the row column i goes
  void* out;
  pw_gpu_error* error;
  int64_t id_stride, out_stride;  ///< in elements
  int32_t format;                 ///< pw_matrix_format
  int32_t out_type;               ///< pw_dtype
  int32_t level_tables;
  int32_t n, k;
} pw_gpu_embedding_packed_params;
