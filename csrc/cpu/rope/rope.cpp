// SPDX-License-Identifier: Apache-2.0
#include "cpu/rope/rope.h"

#include <cmath>

#include "cpu/rows.h"

namespace pw::cpu {

void ropeTable(const pw_rope_table_args& a, Context& context) {
  const int64_t rows = a.positions.shape[0], half = a.frequencies.shape[1];
  const auto* high = static_cast<const float*>(a.frequencies.data);
  const float* low = high + half;
  context.pool().forRange(rows, 1 + 512 / (half + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const double position = readElement(a.positions.data, a.positions.dtype, r * a.positions.strides[0]);
      auto* cosines = static_cast<float*>(rowPointer(a.table, r));
      float* sines = cosines + half;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = position * (static_cast<double>(high[i]) + static_cast<double>(low[i]));
        cosines[i] = static_cast<float>(std::cos(angle) * a.magnitude);
        sines[i] = static_cast<float>(std::sin(angle) * a.magnitude);
      }
    }
  });
}

void rope(const pw_rope_args& args, Context& context) { PW_CPU_DISPATCH(rope, args, context) }

}  // namespace pw::cpu
