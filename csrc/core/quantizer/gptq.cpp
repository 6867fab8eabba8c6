// SPDX-License-Identifier: Apache-2.0
#include "core/quantizer/gptq.h"

#include <cmath>

namespace pw {
namespace {

/// V, upper triangular, with matrix = V . V^T; the columns of V lie in rows of `v`, so that inner products run along
/// memory: v[c * k + r] = V[r][c]. False when the matrix is not positive definite.
bool factorise(const float* gram, int64_t k, double added, std::vector<double>* v) {
  std::vector<double> m(static_cast<size_t>(k * k));
  double* a = m.data();
  for (int64_t i = 0; i < k * k; ++i) a[i] = static_cast<double>(gram[i]);
  for (int64_t i = 0; i < k; ++i) a[i * k + i] = (a[i * k + i] == 0.0 ? 1.0 : a[i * k + i]) + added;
  v->assign(static_cast<size_t>(k * k), 0.0);
  for (int64_t c = k - 1; c >= 0; --c) {
    const double pivot = a[c * k + c];
    if (!(pivot > 0) || !std::isfinite(pivot)) return false;
    double* column = v->data() + c * k;
    const double inverse = 1.0 / std::sqrt(pivot);
    for (int64_t r = 0; r <= c; ++r) column[r] = a[c * k + r] * inverse;
    for (int64_t r = 0; r < c; ++r)
      for (int64_t s = 0; s <= r; ++s) a[r * k + s] -= column[r] * column[s];
  }
  return true;
}

}  // namespace

CompensationFactors::CompensationFactors(const float* gram, int64_t k, double damping)
    : k_(k), factors_(static_cast<size_t>(k * k)) {
  double mean = 0;
  for (int64_t i = 0; i < k; ++i) mean += static_cast<double>(gram[i * k + i]) / static_cast<double>(k);
  if (!(mean > 0)) mean = 1;
  std::vector<double> v;
  while (!factorise(gram, k, damping * mean, &v)) damping = damping > 0 ? 10 * damping : 1e-4;
  // U = inverse(V), row by row: U[r] . V = e_r. With V's columns in rows, each element is one inner product.
  std::vector<double> row(static_cast<size_t>(k));
  for (int64_t r = 0; r < k; ++r) {
    for (int64_t c = r; c < k; ++c) {
      const double* column = v.data() + c * k;
      double sum = c == r ? 1.0 : 0.0;
      for (int64_t i = r; i < c; ++i) sum -= row[static_cast<size_t>(i)] * column[i];
      row[static_cast<size_t>(c)] = sum / column[c];
      factors_[static_cast<size_t>(r * k + c)] = static_cast<float>(row[static_cast<size_t>(c)]);
    }
  }
}

}  // namespace pw
