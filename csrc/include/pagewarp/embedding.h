// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/matrix.h"
#include "pagewarp/tensor.h"

/// out[i] = row ids[i] of the matrix, dequantised. An id outside [0, n) gives a row of zeros and PW_INVALID_TOKEN.
typedef struct pw_embedding_args {
  pw_tensor ids;     ///< [rows], i32
  pw_matrix weight;  ///< [n, k], any format
  pw_tensor out;     ///< [rows, k], f32 | f16 | bf16
} pw_embedding_args;

/// out[i] = x[indices[i]]. An index outside x gives a row of zeros and PW_INVALID_ARGUMENT.
typedef struct pw_gather_rows_args {
  pw_tensor x;        ///< [n, dim], any dtype, last dimension contiguous
  pw_tensor indices;  ///< [rows], i32
  pw_tensor out;      ///< [rows, dim], the dtype of x
} pw_gather_rows_args;
