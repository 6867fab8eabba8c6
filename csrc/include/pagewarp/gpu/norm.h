// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/gpu/rows.h"

/// One block per row. `weight.data` is one row; `residual.data` may be null.
typedef struct pw_gpu_rmsnorm_params {
  pw_gpu_rows x, residual, out, weight;
  int64_t dim;
  float eps;
} pw_gpu_rmsnorm_params;
