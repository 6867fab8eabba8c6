// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/activation.h"
#include "pagewarp/gpu/rows.h"

/// A thread per chunk of a row: grid.x covers a row, grid.y the rows.
typedef struct pw_gpu_gated_params {
  pw_gpu_rows gate, up, out;
  int64_t length;
  int32_t rows;
  int32_t activation;  ///< pw_activation
} pw_gpu_gated_params;
