// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "core/matrix/dequantize.h"
#include "cpu/embedding/embedding.h"
#include "cpu/embedding/gather.h"

namespace pw::cpu::reference {

/// Values are what the f32 formula of their format says; only rounding to the type of `out` is left to do.
void embedding(const pw_embedding_args& a, Context& context) {
  gather(a.ids, embeddingSource(a), a.out, context, [&](int64_t id, void* to) {
    std::vector<float> row(static_cast<size_t>(a.weight.k));
    dequantizeRow(a.weight, id, row.data());
    for (int64_t i = 0; i < a.weight.k; ++i)
      writeElement(to, a.out.dtype, i, static_cast<double>(row[static_cast<size_t>(i)]));
  });
}

}  // namespace pw::cpu::reference
