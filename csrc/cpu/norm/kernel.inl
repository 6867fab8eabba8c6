// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "cpu/norm/norm.h"
#include "cpu/rows.h"
#include "cpu/simd/round_int8.h"

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

/// The same, rounded to int8: row `r` of the result, whose length is a multiple of a group.
template <class X, class W>
void roundRow(const pw_rmsnorm_args& a, int64_t r, const X* x, const W* weight, float scale, int64_t dim) {
  const int64_t groups = dim / kGroup;
  auto* codes = static_cast<int8_t*>(a.out.data) + r * dim;
  auto* scales = static_cast<float*>(a.scales.data) + r * groups;
  auto* sums = static_cast<int32_t*>(a.sums.data) + r * groups * 2;
  const Vec s(scale);
  for (int64_t g = 0; g < groups; ++g, x += kGroup, weight += kGroup, codes += kGroup) {
    Vec v[kGroupVecs];
    for (int i = 0; i < kGroupVecs; ++i) v[i] = load(x + i * Vec::kLanes) * s * load(weight + i * Vec::kLanes);
    const Int8Group group = roundGroup(v, codes);
    scales[g] = group.scale;
    sums[2 * g] = group.sums[0];
    sums[2 * g + 1] = group.sums[1];
  }
}

/// Row `r` of the result from that of x or of the residual.
void normalizeRow(const pw_rmsnorm_args& a, int64_t r, const void* x, pw_dtype type, int64_t dim) {
  dispatchFloat(type, [&](auto* xTag) {
    const auto* row = static_cast<decltype(xTag)>(const_cast<void*>(x));
    const float scale = 1.0f / std::sqrt(sumOfSquares(row, dim) / static_cast<float>(dim) + a.eps);
    dispatchFloat(a.weight.dtype, [&](auto* weightTag) {
      const auto* weight = static_cast<const decltype(weightTag)>(a.weight.data);
      if (a.out.dtype == PW_I8) return roundRow(a, r, row, weight, scale, dim);
      dispatchFloat(a.out.dtype, [&](auto* outTag) {
        scaleRow(static_cast<decltype(outTag)>(rowPointer(a.out, r)), row, weight, scale, dim);
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
      if (!a.residual.data) {
        normalizeRow(a, r, x, a.x.dtype, dim);
        continue;
      }
      void* residual = rowPointer(a.residual, r);
      dispatchFloat(a.residual.dtype, [&](auto* residualTag) {
        dispatchFloat(a.x.dtype, [&](auto* xTag) {
          addRow(static_cast<decltype(residualTag)>(residual), static_cast<decltype(xTag)>(const_cast<void*>(x)), dim);
        });
      });
      normalizeRow(a, r, residual, a.residual.dtype, dim);
    }
  });
}

}  // namespace pw::cpu::PW_ISA
