// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/rope.h"

/// A thread per element of the table's cosines: grid.x covers half, grid.y the rows.
typedef struct pw_gpu_rope_table_params {
  const void* positions;
  const float* high;
  const float* low;
  float* table;
  int64_t positionStride, tableStride;
  int32_t wide;  ///< positions are i64, else i32
  int32_t rows, half;
  float magnitude;
} pw_gpu_rope_table_params;

/// Queries or keys: element (row, head, i) lies at row * rowStride + head * headStride + i.
typedef struct pw_gpu_heads {
  void* data;
  int64_t rowStride, headStride;
  int32_t dtype;
} pw_gpu_heads;

/// How heads are turned.
typedef struct pw_gpu_rotation {
  const float* table;
  int64_t tableStride;
  int32_t dim, half;
  int32_t interleaved;
  int32_t aligned;   ///< four neighbours of a head, and of the table, may be accessed at once
  int32_t copyTail;  ///< what is not rotated goes to other memory
} pw_gpu_rotation;

/// A block per row; its threads share out the pieces of the row's heads, queries first.
typedef struct pw_gpu_rope_params {
  pw_gpu_heads q, qOut, k, kOut;
  pw_gpu_rotation rotation;
  int32_t heads, kvHeads;
} pw_gpu_rope_params;
