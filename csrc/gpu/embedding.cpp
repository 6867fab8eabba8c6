// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/embedding.h"

#include <algorithm>

#include "gpu/ops.h"
#include "gpu/rows.h"
#include "pagewarp/gpu/embedding.h"

namespace pw::gpu {
namespace {

unsigned threadsFor(int64_t items) {
  return static_cast<unsigned>(std::clamp<int64_t>(divideUp(items, 32) * 32, 32, 256));
}

}  // namespace

void embedding(Context& context, const pw_embedding_args& a) {
  const pw_tensor weight = denseView(a.weight);
  const int chunk = chunkOf({&weight, &a.out});
  pw_gpu_embedding_params p{};
  p.ids = static_cast<const int32_t*>(a.ids.data);
  p.weight = a.weight.data;
  p.out = a.out.data;
  p.error = context.errorWord();
  p.idStride = a.ids.strides[0];
  p.outStride = a.out.strides[0];
  p.weightType = weight.dtype;
  p.outType = a.out.dtype;
  p.n = static_cast<int32_t>(a.weight.n);
  p.k = static_cast<int32_t>(a.weight.k);
  const char* entry = chunk == 8 ? "pw_embedding_8" : chunk == 4 ? "pw_embedding_4" : "pw_embedding_1";
  context.launch(context.kernel("embedding/rows", entry), {static_cast<unsigned>(a.ids.shape[0])},
                 {threadsFor(p.k / chunk)}, 0, p);
}

void gatherRows(Context& context, const pw_gather_rows_args& a) {
  const int64_t size = pw_dtype_size(a.x.dtype), bytes = rowLength(a.x) * size;
  int64_t unit = 16;
  while (unit > size && (bytes % unit != 0 || !rowsAligned(a.x, unit) || !rowsAligned(a.out, unit))) unit /= 2;
  pw_gpu_gather_rows_params p{};
  p.indices = static_cast<const int32_t*>(a.indices.data);
  p.x = a.x.data;
  p.out = a.out.data;
  p.error = context.errorWord();
  p.indexStride = a.indices.strides[0];
  p.xStride = a.x.strides[0] * size;
  p.outStride = a.out.strides[0] * size;
  p.units = bytes / unit;
  p.unit = static_cast<int32_t>(unit);
  p.n = static_cast<int32_t>(a.x.shape[0]);
  context.launch(context.kernel("embedding/rows", "pw_gather_rows"), {static_cast<unsigned>(a.indices.shape[0])},
                 {threadsFor(p.units)}, 0, p);
}

}  // namespace pw::gpu
