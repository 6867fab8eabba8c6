// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/tensor.h"

/// RMSNorm (Zhang and Sennrich, 2019): out = x / sqrt(mean(x^2) + eps) * weight over the last dimension.
/// With `residual`, first residual += x (in residual's dtype), then the norm is taken of the sum.
/// With an `out` of 8-bit integers, the f32 result is rounded to these as int8_rows.h defines: dim is a multiple of 32.
typedef struct pw_rmsnorm_args {
  pw_tensor x;         ///< [..., dim], f32 | f16 | bf16, rank 1 to 4, last dimension contiguous
  pw_tensor weight;    ///< [dim], f32 | f16 | bf16
  pw_tensor residual;  ///< optional [..., dim], updated in place
  pw_tensor out;       ///< [..., dim]; may be x itself; or i8, contiguous
  pw_tensor scales;    ///< of an i8 `out`, as are the
  pw_tensor sums;      ///< sums of its codes
  float eps;
} pw_rmsnorm_args;
