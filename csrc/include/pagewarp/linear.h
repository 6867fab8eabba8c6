// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/matrix.h"
#include "pagewarp/tensor.h"

/// out = x . W^T (+ bias) (+ residual). Over packed weights the CPU rounds x to int8 per 32 columns (scale = largest
/// magnitude / 127) and sums products exactly in integers per group, in f32 over groups; over F32, F16 and BF16 weights
/// everything is f32. An output element depends on its own row of x alone: not on the other rows, nor on the threads.
/// x may have been rounded before, as int8_rows.h defines: the result is the same. Packed weights without an order
/// only. A NaN in a row of x makes that row of out NaN; an infinity makes it infinite or NaN.
typedef struct pw_linear_args {
  pw_tensor x;         ///< [..., k], f32 | f16 | bf16, last dimension contiguous; or i8, contiguous
  pw_tensor x_scales;  ///< of an i8 `x`, as are the
  pw_tensor x_sums;    ///< sums of its codes
  pw_matrix weight;    ///< [n, k]
  pw_tensor bias;      ///< optional [n], contiguous
  pw_tensor residual;  ///< optional [..., n]; may be out itself
  pw_tensor out;       ///< [..., n], f32 | f16 | bf16, last dimension contiguous; must not overlap x
  /// CUDA, packed weights, n a multiple of 128: out is [..., n / 2], silu(first half of the features) * second half.
  bool gated;
  /// CUDA, 4-bit and 8-bit integer weights: x is rounded to int8, with one scale per row, as the CPU always does per 32
  /// columns.
  bool int8;
} pw_linear_args;
