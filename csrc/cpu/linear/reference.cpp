// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "core/matrix/dequantize.h"
#include "cpu/linear/linear.h"
#include "cpu/rows.h"

namespace pw::cpu::reference {

/// In float64 over the dequantised weights, with the activations as they are.
void linear(const pw_linear_args& a, Context&) {
  const int64_t rows = rowCount(a.x), k = a.weight.k;
  std::vector<float> weight(static_cast<size_t>(k));
  for (int64_t n = 0; n < a.weight.n; ++n) {
    dequantizeRow(a.weight, n, weight.data());
    for (int64_t r = 0; r < rows; ++r) {
      const void* x = rowPointer(a.x, r);
      double sum = 0;
      for (int64_t i = 0; i < k; ++i)
        sum += readElement(x, a.x.dtype, i) * static_cast<double>(weight[static_cast<size_t>(i)]);
      if (a.bias.data) sum += readElement(a.bias.data, a.bias.dtype, n);
      if (a.residual.data) sum += readElement(rowPointer(a.residual, r), a.residual.dtype, n);
      writeElement(rowPointer(a.out, r), a.out.dtype, n, sum);
    }
  }
}

}  // namespace pw::cpu::reference
