// SPDX-License-Identifier: Apache-2.0
/// @file Walking a strided tensor row by row. `static`: see cpu/dispatch.h.
#pragma once
#include "pagewarp/tensor.h"

namespace pw::cpu {

/// Number of rows: the product of all dimensions but the last.
static inline int64_t rowCount(const pw_tensor& t) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < t.rank; ++d) rows *= t.shape[d];
  return rows;
}

/// Length of the last dimension.
static inline int64_t rowLength(const pw_tensor& t) { return t.shape[t.rank - 1]; }

/// Address of row `index`, counted over the leading dimensions in row-major order.
static inline void* rowPointer(const pw_tensor& t, int64_t index) {
  int64_t offset = 0;
  for (int d = t.rank - 2; d > 0; --d) {
    offset += index % t.shape[d] * t.strides[d];
    index /= t.shape[d];
  }
  if (t.rank > 1) offset += index * t.strides[0];
  return static_cast<char*>(t.data) + offset * pw_dtype_size(t.dtype);
}

/// Element `i` of a contiguous row as float64 / set to the nearest value of its type: for references and cold paths.
double readElement(const void* row, pw_dtype dtype, int64_t i);
void writeElement(void* row, pw_dtype dtype, int64_t i, double value);

}  // namespace pw::cpu
