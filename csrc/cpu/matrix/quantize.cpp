// SPDX-License-Identifier: Apache-2.0
#include "core/matrix/quantize.h"

#include <vector>

#include "core/matrix/pack.h"
#include "cpu/matrix/matrix.h"
#include "cpu/rows.h"

namespace pw::cpu {

void quantize(const pw_quantize_args& a, Context& context) {
  const int64_t n = a.weight.n, k = a.weight.k, rowBytes = sourceRowBytes(a.ggml_type, k);
  std::vector<uint8_t> blocks(static_cast<size_t>(n * rowBytes));
  context.pool().forRange(n, 1 + 16384 / k, [&](int64_t begin, int64_t end, int worker) {
    auto* row = static_cast<float*>(context.scratch(worker, static_cast<size_t>(k) * sizeof(float)));
    for (int64_t r = begin; r < end; ++r) {
      const void* x = rowPointer(a.x, r);
      for (int64_t i = 0; i < k; ++i) row[i] = static_cast<float>(readElement(x, a.x.dtype, i));
      quantizeRow(a.ggml_type, row, k, blocks.data() + r * rowBytes);
    }
  });
  packMatrix({a.ggml_type, {{blocks.data(), n}}, a.weight, {}, {}, {}}, context.pool());
}

}  // namespace pw::cpu
