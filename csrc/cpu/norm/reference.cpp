// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "cpu/norm/norm.h"
#include "cpu/rows.h"
#include "pagewarp/int8_rows.h"
#include "pagewarp/matrix_layout.h"

namespace pw::cpu::reference {
namespace {

/// Rounds the 32 values of a group that begins at element `first` of the result.
template <class F>
void roundGroup(const pw_rmsnorm_args& a, int64_t first, const F& value) {
  float x[kGroup], largest = 0;
  for (int64_t i = 0; i < kGroup; ++i) {
    x[i] = static_cast<float>(value(i));
    if (!(std::fabs(x[i]) <= largest) && !std::isnan(largest)) largest = std::fabs(x[i]);
  }
  const float scale = pw_int8_scale(largest), inverse = pw_int8_inverse(largest);
  auto* codes = static_cast<int8_t*>(a.out.data) + first;
  auto* sums = static_cast<int32_t*>(a.sums.data) + first / kGroup * 2;
  sums[0] = sums[1] = 0;
  for (int64_t i = 0; i < kGroup; ++i) {
    codes[i] = static_cast<int8_t>(pw_int8_code(x[i], scale, inverse));
    sums[i / 16] += codes[i];
  }
  static_cast<float*>(a.scales.data)[first / kGroup] = scale;
}

}  // namespace

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
    const auto value = [&](int64_t i) {
      return readElement(from, type, i) * scale * readElement(weight, a.weight.dtype, i);
    };
    if (a.out.dtype == PW_I8) {
      for (int64_t i = 0; i < dim; i += kGroup) roundGroup(a, r * dim + i, [&](int64_t j) { return value(i + j); });
      continue;
    }
    for (int64_t i = 0; i < dim; ++i) writeElement(out, a.out.dtype, i, value(i));
  }
}

}  // namespace pw::cpu::reference
