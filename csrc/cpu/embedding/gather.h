// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstring>

#include "cpu/context.h"
#include "cpu/rows.h"

namespace pw::cpu {

/// What rows are taken from, and what an index outside it is.
struct GatherSource {
  int64_t rows;
  pw_status status;
  const char* index;  ///< what its indices are called
};

/// Fails with the index at position `i`.
void reportIndex(const GatherSource& source, int32_t index, int64_t i, Context& context);

/// Calls copy(index, out row) for each row of `out`; a row whose index is outside of the source becomes zeros.
template <class F>
static inline void gather(const pw_tensor& indices, const GatherSource& source, const pw_tensor& out, Context& context,
                          F&& copy) {
  const int64_t length = rowLength(out);
  context.pool().forRange(indices.shape[0], 1 + 16384 / (length + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t index = static_cast<const int32_t*>(indices.data)[i * indices.strides[0]];
      void* to = rowPointer(out, i);
      if (index >= 0 && index < source.rows) {
        copy(index, to);
        continue;
      }
      std::memset(to, 0, static_cast<size_t>(length * pw_dtype_size(out.dtype)));
      reportIndex(source, index, i, context);
    }
  });
}

static inline GatherSource embeddingSource(const pw_embedding_args& a) {
  return {a.weight.n, PW_INVALID_TOKEN, "token id"};
}

}  // namespace pw::cpu
