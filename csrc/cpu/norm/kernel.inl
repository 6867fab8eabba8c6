// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "cpu/norm/norm.h"
#include "cpu/rows.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

/// residual += x, rounded to the residual's type, which is what the norm then sees.
template <class R, class X>
void addRow(R* residual, const X* x, int64_t dim) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= dim; i += Vec::kLanes) store(residual + i, load(residual + i) + load(x + i));
  for (; i < dim; ++i) fromFloat(toFloat(residual[i]) + toFloat(x[i]), residual + i);
}

template <class X>
float sumOfSquares(const X* x, int64_t dim) {
  Vec sum0(0.0f), sum1(0.0f);
  int64_t i = 0;
  for (; i + 2 * Vec::kLanes <= dim; i += 2 * Vec::kLanes) {
    const Vec a = load(x + i), b = load(x + i + Vec::kLanes);
    sum0 = fma(a, a, sum0);
    sum1 = fma(b, b, sum1);
  }
  float tail = 0.0f;
  for (; i < dim; ++i) tail += toFloat(x[i]) * toFloat(x[i]);
  return reduceAdd(sum0 + sum1) + tail;
}

template <class O, class X, class W>
void scaleRow(O* out, const X* x, const W* weight, float scale, int64_t dim) {
  const Vec s(scale);
  int64_t i = 0;
  for (; i + Vec::kLanes <= dim; i += Vec::kLanes) store(out + i, load(x + i) * s * load(weight + i));
  for (; i < dim; ++i) fromFloat(toFloat(x[i]) * scale * toFloat(weight[i]), out + i);
}

void normalizeRow(const pw_rmsnorm_args& a, const void* x, pw_dtype type, void* out, int64_t dim) {
  dispatchFloat(type, [&](auto* xTag) {
    const auto* row = static_cast<decltype(xTag)>(const_cast<void*>(x));
    const float scale = 1.0f / std::sqrt(sumOfSquares(row, dim) / static_cast<float>(dim) + a.eps);
    dispatchFloat(a.out.dtype, [&](auto* outTag) {
      dispatchFloat(a.weight.dtype, [&](auto* weightTag) {
        scaleRow(static_cast<decltype(outTag)>(out), row, static_cast<const decltype(weightTag)>(a.weight.data), scale,
                 dim);
      });
    });
  });
}

}  // namespace

void rmsNorm(const pw_rmsnorm_args& a, Context& context) {
  const int64_t dim = rowLength(a.x);
  const int64_t grain = 1 + 16384 / (dim + 1);  // below some 16k elements a second thread costs more than it gives
  context.pool().forRange(rowCount(a.x), grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const void* x = rowPointer(a.x, r);
      void* out = rowPointer(a.out, r);
      if (!a.residual.data) {
        normalizeRow(a, x, a.x.dtype, out, dim);
        continue;
      }
      void* residual = rowPointer(a.residual, r);
      dispatchFloat(a.residual.dtype, [&](auto* residualTag) {
        dispatchFloat(a.x.dtype, [&](auto* xTag) {
          addRow(static_cast<decltype(residualTag)>(residual), static_cast<decltype(xTag)>(const_cast<void*>(x)), dim);
        });
      });
      normalizeRow(a, residual, a.residual.dtype, out, dim);
    }
  });
}

}  // namespace pw::cpu::PW_ISA
