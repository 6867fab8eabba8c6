// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/gpu/error.h"
#include "pagewarp/tensor.h"

/// One block per row of out; `ids` are i32.
typedef struct pw_gpu_embedding_params {
  const int32_t* ids;
  const void* weight;  ///< [n, k], row-major
  void* out;           ///< [rows, k]
  pw_gpu_error* error;
  int64_t idStride, outStride;  ///< in elements
  int32_t weightType, outType;
  int32_t n, k;
} pw_gpu_embedding_params;

/// One block per row of out; rows are made of units of 1, 2, 4, 8 or 16 bytes.
typedef struct pw_gpu_gather_rows_params {
  const int32_t* indices;
  const void* x;
  void* out;
  pw_gpu_error* error;
  int64_t indexStride;         ///< in elements
  int64_t xStride, outStride;  ///< in bytes
  int64_t units;
  int32_t unit;
  int32_t n;  ///< rows of x
} pw_gpu_gather_rows_params;
