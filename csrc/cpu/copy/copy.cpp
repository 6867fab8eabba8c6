// SPDX-License-Identifier: Apache-2.0
#include "cpu/copy/copy.h"

#include <cstring>

#include "cpu/rows.h"

namespace pw::cpu {
namespace {

/// Calls row(r) for each row unless the tensor is empty.
template <class F>
void forEachRow(const pw_tensor& t, F&& row) {
  if (rowLength(t) == 0) return;
  const int64_t rows = rowCount(t);
  for (int64_t r = 0; r < rows; ++r) row(r);
}

/// Dense from `dim` on: the elements below form one run in memory.
bool denseFrom(const pw_tensor& t, int dim) {
  int64_t expected = 1;
  for (int d = t.rank - 1; d >= dim; --d) {
    if (t.shape[d] != 1 && t.strides[d] != expected) return false;
    expected *= t.shape[d];
  }
  return true;
}

int64_t elementCount(const pw_tensor& t) { return rowCount(t) * rowLength(t); }

char* at(void* row, const pw_tensor& t, int64_t i) {
  return static_cast<char*>(row) + i * t.strides[t.rank - 1] * pw_dtype_size(t.dtype);
}

}  // namespace

void copy(const pw_tensor& from, const pw_tensor& to) {
  const size_t size = static_cast<size_t>(pw_dtype_size(to.dtype));
  if (from.dtype == to.dtype && denseFrom(from, 0) && denseFrom(to, 0)) {
    std::memmove(to.data, from.data, static_cast<size_t>(elementCount(from)) * size);
    return;
  }
  const bool denseRows = from.dtype == to.dtype && denseFrom(from, from.rank - 1) && denseFrom(to, to.rank - 1);
  const int64_t length = rowLength(from);
  forEachRow(from, [&](int64_t r) {
    void* source = rowPointer(from, r);
    void* target = rowPointer(to, r);
    if (denseRows) {
      std::memcpy(target, source, static_cast<size_t>(length) * size);
    } else if (from.dtype == to.dtype) {
      for (int64_t i = 0; i < length; ++i) std::memcpy(at(target, to, i), at(source, from, i), size);
    } else {
      for (int64_t i = 0; i < length; ++i)
        writeElement(at(target, to, i), to.dtype, 0, readElement(at(source, from, i), from.dtype, 0));
    }
  });
}

void fill(const pw_tensor& to, double value) {
  const int64_t length = rowLength(to);
  forEachRow(to, [&](int64_t r) {
    void* row = rowPointer(to, r);
    for (int64_t i = 0; i < length; ++i) writeElement(at(row, to, i), to.dtype, 0, value);
  });
}

pw_tensor contiguousView(const void* data, const pw_tensor& like) {
  pw_tensor view = like;
  view.data = const_cast<void*>(data);
  int64_t stride = 1;
  for (int d = like.rank - 1; d >= 0; --d) {
    view.strides[d] = stride;
    stride *= like.shape[d];
  }
  return view;
}

}  // namespace pw::cpu
