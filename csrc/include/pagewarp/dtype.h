// SPDX-License-Identifier: Apache-2.0
/// @file Element types of tensors. Block-quantised weights are not tensors: see matrix.h.
#pragma once
#include <stdint.h>

typedef enum pw_dtype {
  PW_F32 = 0,
  PW_F16 = 1,   ///< IEEE binary16
  PW_BF16 = 2,  ///< bfloat16
  PW_I8 = 3,
  PW_U8 = 4,
  PW_I32 = 5,
  PW_I64 = 6,
} pw_dtype;

/// Bytes of one element.
static inline int64_t pw_dtype_size(pw_dtype type) {
  switch (type) {
    case PW_F32:
    case PW_I32:
      return 4;
    case PW_F16:
    case PW_BF16:
      return 2;
    case PW_I64:
      return 8;
    default:
      return 1;
  }
}
