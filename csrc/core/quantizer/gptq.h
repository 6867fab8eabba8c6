// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

namespace pw {

/// What GPTQ needs of a Hessian: U, upper triangular, with inverse(gram + damping) = U^T . U. Row c of it, from the
/// diagonal on, says how the error of column c is to be made up for by the columns after it.
class CompensationFactors {
 public:
  /// @param gram [k, k], symmetric; columns that never saw an input get a unit diagonal, and so no compensation
  /// @param damping in means of the diagonal; grows tenfold until the matrix is positive definite
  CompensationFactors(const float* gram, int64_t k, double damping);

  /// U[column][column], U[column][column + 1], ...
  const float* row(int64_t column) const { return factors_.data() + column * k_ + column; }

 private:
  int64_t k_;
  std::vector<float> factors_;
};

}  // namespace pw
