// SPDX-License-Identifier: Apache-2.0
/// @file Making low-bit weights of a trained matrix, with what calibration says about its inputs.
#pragma once
#include "pagewarp/tensor.h"

/// Sums outer products of inputs: gram += x^T . x, the Hessian of a linear layer's squared error (Hassibi & Stork,
/// 1993). Of the symmetric result only the lower triangle is meant: what lies above the diagonal is unspecified.
typedef struct pw_gram_args {
  pw_tensor x;     ///< [rows, k], f32, last dimension contiguous
  pw_tensor gram;  ///< [k, k], f32, contiguous; k a multiple of 32
} pw_gram_args;

/// What the codes of a matrix mean.
typedef enum pw_grid {
  PW_GRID_Q8_0 = 0,
  PW_GRID_Q4_0 = 1,
  PW_GRID_Q4_1 = 2,
  PW_GRID_NF4 = 3,   ///< LUT4 blocks with the levels of QLoRA's NormalFloat (Dettmers et al., 2023)
  PW_GRID_ANY4 = 4,  ///< LUT4 blocks with levels learned for each row (Elhoushi & Johnson, "any4", 2025)
} pw_grid;

/// Quantises a matrix. Scales are searched for the least squared error, each column weighted by the diagonal of `gram`
/// where it is given. With `compensate`, columns are rounded one by one and what each loses is made up for by the later
/// ones (GPTQ: Frantar et al., 2023), which needs `gram`.
typedef struct pw_quantizer_args {
  pw_tensor weight;  ///< [n, k], f32, contiguous; k a multiple of 32
  pw_tensor gram;    ///< optional [k, k], f32, contiguous
  pw_grid grid;
  int32_t compensate;  ///< 0: round to nearest
  double damping;      ///< added to the diagonal of gram, in means of that diagonal
  pw_tensor blocks;    ///< [n * bytes of a row of blocks], u8, contiguous
  pw_tensor levels;    ///< ANY4: [n, 16], f32; NF4: [1, 16]
  pw_tensor error;     ///< [n, 2], f32: each row's squared error and squared norm, both weighted like the search
} pw_quantizer_args;
