// SPDX-License-Identifier: Apache-2.0
#include "cpu/embedding/embedding.h"

#include <string>

#include "cpu/embedding/gather.h"

namespace pw::cpu {

void reportIndex(const GatherSource& source, int32_t index, int64_t i, Context& context) {
  context.fail(source.status, std::string(source.index) + " " + std::to_string(index) + " at position " +
                                  std::to_string(i) + " is outside [0, " + std::to_string(source.rows) + ")");
}

void embedding(const pw_embedding_args& args, Context& context) { PW_CPU_DISPATCH(embedding, args, context) }

void gatherRows(const pw_gather_rows_args& a, Context& context) {
  const auto bytes = static_cast<size_t>(rowLength(a.x) * pw_dtype_size(a.x.dtype));
  gather(a.indices, {a.x.shape[0], PW_INVALID_ARGUMENT, "row index"}, a.out, context,
         [&](int64_t index, void* to) { std::memcpy(to, rowPointer(a.x, index), bytes); });
}

}  // namespace pw::cpu
