// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "pagewarp/matrix.h"
#include "pagewarp/matrix_layout.h"

namespace pw {

/// 32 columns of a row of a packed matrix: value = scale * level + minimum, with a scale and a minimum for each half.
struct RowGroup {
  float level[kGroup];
  float scale[2], minimum[2];
};

/// A row of a packed matrix.
class PackedRow {
 public:
  PackedRow(const pw_matrix& matrix, int64_t row);
  /// The columns from `column`, a multiple of 32, on, in the order in which the matrix has them.
  void read(int64_t column, RowGroup* group) const;

 private:
  const pw_matrix& matrix_;
  const PackedLayout layout_;
  const int64_t row_;
  float factor_;
  float levels_[256];  ///< what each code stands for before scale and minimum
};

/// Row `row` of the matrix as f32: k values, equal to the f32 dequantisation formula of the source's format.
void dequantizeRow(const pw_matrix& matrix, int64_t row, float* out);

}  // namespace pw
