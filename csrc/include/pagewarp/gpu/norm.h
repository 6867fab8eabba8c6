// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/gpu/rows.h"

/// One block per row. `weight.data` is one row; `residual.data` may be null.
typedef struct pw_gpu_rmsnorm_params {
  pw_gpu_rows x, residual, out, weight;
  int64_t dim;
  float eps;
} pw_gpu_rmsnorm_params;

/// The same with a result in the form of int8_rows.h: `norm.out` is not used, `norm.dim` is a multiple of 32.
typedef struct pw_gpu_rmsnorm_int8_params {
  pw_gpu_rmsnorm_params norm;
  int8_t* codes;
  float* scales;
  int32_t* sums;
} pw_gpu_rmsnorm_int8_params;
