// SPDX-License-Identifier: Apache-2.0
/// @file What kernels see of a tensor that is worked on row by row: the last dimension is contiguous, the leading ones
/// are merged as far as their strides allow.
#pragma once
#include "pagewarp/tensor.h"

#define PW_GPU_ROW_DIMENSIONS (PW_MAX_RANK - 1)

typedef struct pw_gpu_rows {
  void* data;
  int32_t dtype;  ///< pw_dtype
  int32_t rank;   ///< of the leading dimensions, at least 1
  int32_t shape[PW_GPU_ROW_DIMENSIONS];
  int64_t strides[PW_GPU_ROW_DIMENSIONS];  ///< in elements
} pw_gpu_rows;
