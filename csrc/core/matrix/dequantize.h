// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "pagewarp/matrix.h"

namespace pw {

/// Row `row` of the matrix as f32: k values, equal to the f32 dequantisation formula of the source's format.
void dequantizeRow(const pw_matrix& matrix, int64_t row, float* out);

}  // namespace pw
