// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/tensor.h"

/// Elements between strided tensors of one shape, a thread each. A "unit" is what one thread moves.
typedef struct pw_gpu_copy_params {
  const void* from;
  void* to;
  int32_t rank;                 ///< at least 1
  int32_t unit;                 ///< bytes, 1, 2, 4, 8 or 16, when nothing is converted; else elements, 1 or 4
  int32_t fromType, toType;     ///< pw_dtype, when converting
  uint32_t count;               ///< of units
  uint32_t shape[PW_MAX_RANK];  ///< in units
  int64_t fromStrides[PW_MAX_RANK], toStrides[PW_MAX_RANK];  ///< bytes from unit to unit
} pw_gpu_copy_params;
