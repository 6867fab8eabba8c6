// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/matrix.h"
#include "pagewarp/tensor.h"

/// Rounds a floating tensor to nearest into a matrix.
typedef struct pw_quantize_args {
  pw_tensor x;         ///< [n, k], f32 | f16 | bf16, last dimension contiguous
  uint32_t ggml_type;  ///< F32, F16, BF16, Q8_0, Q4_0 or Q4_1: what weight.format holds
  pw_matrix weight;    ///< [n, k]; its data is written
} pw_quantize_args;
