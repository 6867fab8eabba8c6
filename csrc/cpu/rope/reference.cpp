// SPDX-License-Identifier: Apache-2.0
#include "cpu/rope/rope.h"
#include "cpu/rows.h"

namespace pw::cpu::reference {
namespace {

void rotateTensor(const pw_tensor& x, const pw_tensor& out, const pw_rope_args& a) {
  const int64_t heads = x.shape[1], dim = x.shape[2], rotary = a.table.shape[1], half = rotary / 2;
  for (int64_t r = 0; r < x.shape[0]; ++r) {
    const void* table = rowPointer(a.table, r);
    for (int64_t h = 0; h < heads; ++h) {
      const void* from = rowPointer(x, r * heads + h);
      void* to = rowPointer(out, r * heads + h);
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
}

}  // namespace

void rope(const pw_rope_args& a, Context&) {
  rotateTensor(a.q, a.q_out, a);
  if (a.k.data) rotateTensor(a.k, a.k_out, a);
}

}  // namespace pw::cpu::reference
