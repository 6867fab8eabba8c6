// SPDX-License-Identifier: Apache-2.0
/// @file Dense linear layers, out = x . W^T (+ bias) (+ residual), on CUDA.
///
/// **The order of a sum.** Columns are cut into slices of `sliceLength`, which depends on k alone. Within a slice,
/// blocks of PW_GPU_LINEAR_BLOCK columns are taken in rising order, and the columns of a block by four lanes each in
/// its own fixed way; slices are added in rising order. Every kernel keeps to that, so that a row of the result has the
/// same bits whatever the batch around it, although kernels for few rows sum slices side by side.
#pragma once
#include "pagewarp/gpu/rows.h"

#define PW_GPU_LINEAR_BLOCK 32
#define PW_GPU_LINEAR_SLICES 8  ///< at most: one per warp of a block

/// x is f32, or of the weights' type where that has 16 bits. Unless the kernel is the one for odd columns, rows of x
/// and of the weights begin at multiples of 16 bytes, and k is a multiple of 8.
typedef struct pw_gpu_linear_params {
  pw_gpu_rows x;         ///< [m, k]
  pw_gpu_rows out;       ///< [m, n]
  pw_gpu_rows residual;  ///< [m, n]; data may be null; may be out itself
  const void* weight;    ///< [n, k], row-major
  const void* bias;      ///< optional [n]
  int32_t biasType;
  int32_t weightType;
  int32_t m, n, k;
  int32_t sliceLength;  ///< a multiple of PW_GPU_LINEAR_BLOCK; at most PW_GPU_LINEAR_SLICES slices
} pw_gpu_linear_params;
