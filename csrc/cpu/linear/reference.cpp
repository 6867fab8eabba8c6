// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "core/matrix/dequantize.h"
#include "cpu/linear/linear.h"
#include "cpu/rows.h"
#include "pagewarp/matrix_layout.h"

namespace pw::cpu::reference {

namespace {

/// Element `i` of row `r` of x.
double activation(const pw_linear_args& a, int64_t r, int64_t i) {
  const double value = readElement(rowPointer(a.x, r), a.x.dtype, i);
  if (a.x.dtype != PW_I8) return value;
  const auto* scales = static_cast<const float*>(a.x_scales.data);
  return value * static_cast<double>(scales[(r * a.weight.k + i) / kGroup]);
}

}  // namespace

/// In float64 over the dequantised weights, with the activations as they are.
void linear(const pw_linear_args& a, Context&) {
  const int64_t rows = rowCount(a.x), k = a.weight.k;
  std::vector<float> weight(static_cast<size_t>(k));
  for (int64_t n = 0; n < a.weight.n; ++n) {
    dequantizeRow(a.weight, n, weight.data());
    for (int64_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += activation(a, r, i) * static_cast<double>(weight[static_cast<size_t>(i)]);
      if (a.bias.data) sum += readElement(a.bias.data, a.bias.dtype, n);
      if (a.residual.data) sum += readElement(rowPointer(a.residual, r), a.residual.dtype, n);
      writeElement(rowPointer(a.out, r), a.out.dtype, n, sum);
    }
  }
}

}  // namespace pw::cpu::reference
