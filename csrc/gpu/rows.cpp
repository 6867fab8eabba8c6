// SPDX-License-Identifier: Apache-2.0
#include "gpu/rows.h"

#include "core/error.h"

namespace pw::gpu {

int64_t rowCount(const pw_tensor& t) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < t.rank; ++d) rows *= t.shape[d];
  return rows;
}

int64_t rowLength(const pw_tensor& t) { return t.shape[t.rank - 1]; }

bool isContiguous(const pw_tensor& t) {
  int64_t expected = 1;
  for (int d = t.rank - 1; d >= 0; --d) {
    if (t.shape[d] != 1 && t.strides[d] != expected) return false;
    expected *= t.shape[d];
  }
  return true;
}

size_t byteCount(const pw_tensor& t) {
  int64_t count = pw_dtype_size(t.dtype);
  for (int d = 0; d < t.rank; ++d) count *= t.shape[d];
  return static_cast<size_t>(count);
}

pw_tensor contiguousLike(const pw_tensor& t) {
  pw_tensor like = t;
  int64_t stride = 1;
  for (int d = t.rank - 1; d >= 0; --d) {
    like.strides[d] = stride;
    stride *= t.shape[d];
  }
  return like;
}

pw_tensor denseView(const pw_matrix& matrix) {
  pw_dtype dtype = PW_F32;
  switch (matrix.format) {
    case PW_MATRIX_F32:
      break;
    case PW_MATRIX_F16:
      dtype = PW_F16;
      break;
    case PW_MATRIX_BF16:
      dtype = PW_BF16;
      break;
    default:
      throw Error(PW_UNSUPPORTED, "a packed matrix where one of f32, f16 or bf16 is needed");
  }
  return {const_cast<void*>(matrix.data), dtype, 2, {matrix.n, matrix.k}, {matrix.k, 1}};
}

pw_gpu_rows rowsOf(const pw_tensor& t) {
  pw_gpu_rows rows{};
  rows.data = t.data;
  rows.dtype = t.dtype;
  rows.rank = 1;
  rows.shape[0] = 1;
  if (!t.data) return rows;
  int last = -1;  // the dimension written last
  for (int d = 0; d + 1 < t.rank; ++d) {
    if (t.shape[d] == 1) continue;
    if (last >= 0 && rows.strides[last] == t.strides[d] * t.shape[d]) {
      rows.shape[last] *= static_cast<int32_t>(t.shape[d]);
    } else {
      rows.shape[++last] = static_cast<int32_t>(t.shape[d]);
    }
    rows.strides[last] = t.strides[d];
  }
  if (last > 0) rows.rank = last + 1;
  return rows;
}

bool rowsAligned(const pw_tensor& t, int64_t bytes) {
  if (reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(bytes) != 0) return false;
  for (int d = 0; d + 1 < t.rank; ++d)
    if (t.shape[d] > 1 && t.strides[d] * pw_dtype_size(t.dtype) % bytes != 0) return false;
  return true;
}

int chunkOf(std::initializer_list<const pw_tensor*> tensors) {
  bool narrow = true;
  for (const pw_tensor* t : tensors) narrow = narrow && (!t->data || t->dtype != PW_F32);
  for (const int chunk : {8, 4}) {
    bool fits = chunk == 4 || narrow;
    for (const pw_tensor* t : tensors)
      fits = fits && (!t->data || (rowLength(*t) % chunk == 0 && rowsAligned(*t, chunk * pw_dtype_size(t->dtype))));
    if (fits) return chunk;
  }
  return 1;
}

}  // namespace pw::gpu
