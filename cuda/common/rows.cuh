// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/dtype.cuh"
#include "pagewarp/gpu/rows.h"

namespace pw {

/// One row of a tensor.
struct Row {
  char* data;
  int dtype;

  /// Elements [i, i + N), all in the row; the address is aligned as loadChunk wants it.
  template <int N>
  __device__ void load(int64_t i, float (&x)[N]) const {
    loadChunk(data, dtype, i, x);
  }
  template <int N>
  __device__ void store(int64_t i, const float (&x)[N]) const {
    storeChunk(data, dtype, i, x);
  }
};

/// Row `index`, counted over the leading dimensions in row-major order.
__device__ inline Row rowAt(const pw_gpu_rows& t, int index) {
  int64_t offset = 0;
  for (int d = t.rank - 1; d > 0; --d) {
    offset += index % t.shape[d] * t.strides[d];
    index /= t.shape[d];
  }
  offset += index * t.strides[0];
  return {floatAt(t.data, t.dtype, offset), t.dtype};
}

}  // namespace pw
