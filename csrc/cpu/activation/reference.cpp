// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "cpu/activation/activation.h"
#include "cpu/rows.h"

namespace pw::cpu::reference {
namespace {

double activate(pw_activation activation, double x) {
  if (activation == PW_SILU) return x / (1.0 + std::exp(-x));
  const double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1.0 + std::tanh(u));
}

}  // namespace

void gated(const pw_gated_args& a, Context&) {
  for (int64_t r = 0; r < rowCount(a.out); ++r)
    for (int64_t i = 0; i < rowLength(a.out); ++i)
      writeElement(rowPointer(a.out, r), a.out.dtype, i,
                   activate(a.activation, readElement(rowPointer(a.gate, r), a.gate.dtype, i)) *
                       readElement(rowPointer(a.up, r), a.up.dtype, i));
}

}  // namespace pw::cpu::reference
