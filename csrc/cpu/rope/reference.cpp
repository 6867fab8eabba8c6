// SPDX-License-Identifier: Apache-2.0
#include "cpu/rope/rope.h"
#include "cpu/rope/rotate.h"
#include "cpu/rows.h"

namespace pw::cpu::reference {

void rotateRow(const RotateRow& a, Context&) {
  const pw_tensor &x = a.x, &out = a.out;
  const int64_t heads = x.shape[1], dim = x.shape[2], rotary = a.table.shape[1], half = rotary / 2;
  const void* table = rowPointer(a.table, a.row);
  for (int64_t h = 0; h < heads; ++h) {
    const void* from = rowPointer(x, a.row * heads + h);
    void* to = rowPointer(out, a.row * heads + h);
    for (int64_t i = 0; i < half; ++i) {
      const bool halves = a.pairing == PW_ROPE_HALVES;
      const int64_t first = halves ? i : 2 * i, second = halves ? i + half : 2 * i + 1;
      const double c = readElement(table, PW_F32, i), s = readElement(table, PW_F32, half + i);
      const double u = readElement(from, x.dtype, first), v = readElement(from, x.dtype, second);
      writeElement(to, out.dtype, first, u * c - v * s);
      writeElement(to, out.dtype, second, u * s + v * c);
    }
    for (int64_t i = rotary; i < dim; ++i) writeElement(to, out.dtype, i, readElement(from, x.dtype, i));
  }
}

void rope(const pw_rope_args& a, Context& context) {
  for (int64_t row = 0; row < a.q.shape[0]; ++row) {
    rotateRow({a.q, a.q_out, a.table, a.pairing, row}, context);
    if (a.k.data) rotateRow({a.k, a.k_out, a.table, a.pairing, row}, context);
  }
}

}  // namespace pw::cpu::reference
