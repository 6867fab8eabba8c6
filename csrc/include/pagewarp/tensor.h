// SPDX-License-Identifier: Apache-2.0
/// @file A strided view of device memory: what every kernel receives. It owns nothing.
#pragma once
#include <stdint.h>

#include "pagewarp/dtype.h"

#define PW_MAX_RANK 6

/// `data` points at element (0, ..., 0). Strides are in elements, may be any sign or zero; unused dimensions are 1.
/// A tensor with data == NULL stands for an optional argument that was not given.
typedef struct pw_tensor {
  void* data;
  pw_dtype dtype;
  int32_t rank;
  int64_t shape[PW_MAX_RANK];
  int64_t strides[PW_MAX_RANK];
} pw_tensor;
