// SPDX-License-Identifier: Apache-2.0
#include "cpu/quantizer/gram.h"

namespace pw::cpu::reference {

void gram(const pw_gram_args& a, Context&) {
  const int64_t rows = a.x.shape[0], k = a.x.shape[1], stride = a.x.strides[0];
  const auto* x = static_cast<const float*>(a.x.data);
  auto* sums = static_cast<float*>(a.gram.data);
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = static_cast<double>(sums[i * k + j]);
      for (int64_t r = 0; r < rows; ++r)
        sum += static_cast<double>(x[r * stride + i]) * static_cast<double>(x[r * stride + j]);
      sums[i * k + j] = static_cast<float>(sum);
    }
}

}  // namespace pw::cpu::reference
