// SPDX-License-Identifier: Apache-2.0
#include "cpu/embedding/embedding.h"

#include <cstring>

#include "core/float16.h"
#include "core/matrix/dequantize.h"
#include "cpu/rows.h"

namespace pw::cpu {
namespace {

int32_t indexAt(const pw_tensor& indices, int64_t i) {
  return static_cast<const int32_t*>(indices.data)[i * indices.strides[0]];
}

template <class T>
void roundRow(const float* from, int64_t count, void* to) {
  for (int64_t i = 0; i < count; ++i) fromFloat(from[i], static_cast<T*>(to) + i);
}

/// Calls copy(index, out row, worker) for each row of `out`; a row whose index is outside [0, limit) becomes zeros.
template <class F>
void gather(const pw_tensor& indices, int64_t limit, const pw_tensor& out, pw_status status, const char* what,
            Context& context, F&& copy) {
  const int64_t length = rowLength(out);
  context.pool().forRange(indices.shape[0], 1 + 16384 / (length + 1), [&](int64_t begin, int64_t end, int worker) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t index = indexAt(indices, i);
      void* to = rowPointer(out, i);
      if (index >= 0 && index < limit) {
        copy(index, to, worker);
        continue;
      }
      std::memset(to, 0, static_cast<size_t>(length * pw_dtype_size(out.dtype)));
      context.fail(status, std::string(what) + " " + std::to_string(index) + " at position " + std::to_string(i) +
                               " is outside [0, " + std::to_string(limit) + ")");
    }
  });
}

}  // namespace

void embedding(const pw_embedding_args& a, Context& context) {
  const int64_t k = a.weight.k;
  gather(a.ids, a.weight.n, a.out, PW_INVALID_TOKEN, "token id", context, [&](int64_t id, void* to, int worker) {
    if (a.out.dtype == PW_F32) return dequantizeRow(a.weight, id, static_cast<float*>(to));
    auto* row = static_cast<float*>(context.scratch(worker, static_cast<size_t>(k) * sizeof(float)));
    dequantizeRow(a.weight, id, row);
    return a.out.dtype == PW_F16 ? roundRow<Half>(row, k, to) : roundRow<BFloat>(row, k, to);
  });
}

void gatherRows(const pw_gather_rows_args& a, Context& context) {
  const auto bytes = static_cast<size_t>(rowLength(a.x) * pw_dtype_size(a.x.dtype));
  gather(a.indices, a.x.shape[0], a.out, PW_INVALID_ARGUMENT, "row index", context,
         [&](int64_t index, void* to, int) { std::memcpy(to, rowPointer(a.x, index), bytes); });
}

}  // namespace pw::cpu
