// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "cpu/norm/norm.h"
#include "cpu/rows.h"

namespace pw::cpu::reference {

void rmsNorm(const pw_rmsnorm_args& a, Context&) {
  const int64_t dim = rowLength(a.x);
  for (int64_t r = 0; r < rowCount(a.x); ++r) {
    const void* x = rowPointer(a.x, r);
    const void* weight = a.weight.data;
    void* out = rowPointer(a.out, r);
    void* residual = a.residual.data ? rowPointer(a.residual, r) : nullptr;
    if (residual)
      for (int64_t i = 0; i < dim; ++i)
        writeElement(residual, a.residual.dtype, i,
                     readElement(residual, a.residual.dtype, i) + readElement(x, a.x.dtype, i));
    const void* from = residual ? residual : x;
    const pw_dtype type = residual ? a.residual.dtype : a.x.dtype;
    double squares = 0;
    for (int64_t i = 0; i < dim; ++i) squares += readElement(from, type, i) * readElement(from, type, i);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(dim) + a.eps);
    for (int64_t i = 0; i < dim; ++i)
      writeElement(out, a.out.dtype, i, readElement(from, type, i) * scale * readElement(weight, a.weight.dtype, i));
  }
}

}  // namespace pw::cpu::reference
