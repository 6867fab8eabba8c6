// SPDX-License-Identifier: Apache-2.0
/// @file Turning heads by the angles of their row, with the same roundings wherever it is done.
#pragma once
#include "common/dtype.cuh"
#include "pagewarp/gpu/rope.h"

namespace pw {

/// The pair (u, v) turned by an angle.
__device__ inline float turnedFirst(float u, float v, float cosine, float sine) {
  return __fmaf_rn(u, cosine, -__fmul_rn(v, sine));
}
__device__ inline float turnedSecond(float u, float v, float cosine, float sine) {
  return __fmaf_rn(u, sine, __fmul_rn(v, cosine));
}

__device__ inline void load4(const void* p, int dtype, bool whole, int64_t i, int64_t size, float (&x)[4]) {
  if (whole)
    loadChunk(p, dtype, i, x);
  else
    loadPart(p, dtype, i, size, x);
}

__device__ inline void store4(void* p, int dtype, bool whole, int64_t i, int64_t size, const float (&x)[4]) {
  if (whole)
    storeChunk(p, dtype, i, x);
  else
    storePart(p, dtype, i, size, x);
}

/// Four pairs of one head of one row, beginning with pair `i`.
__device__ inline void rotatePairs(const pw_gpu_rotation& r, const void* from, int fromType, void* to, int toType,
                                   const float* table, int i) {
  const int half = r.half;
  const bool whole = r.aligned && i + 4 <= half;
  // First and second elements of the pairs, or, interleaved, eight neighbours.
  const int first = r.interleaved ? 2 * i : i, second = r.interleaved ? 2 * i + 4 : half + i;
  const int firstEnd = r.interleaved ? 2 * half : half;
  float cosines[4], sines[4], x[4], y[4];
  load4(table, PW_F32, whole, i, half, cosines);
  load4(table + half, PW_F32, whole, i, half, sines);
  load4(from, fromType, whole, first, firstEnd, x);
  load4(from, fromType, whole, second, 2 * half, y);
  if (!r.interleaved) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float u = x[j], v = y[j];
      x[j] = turnedFirst(u, v, cosines[j], sines[j]);
      y[j] = turnedSecond(u, v, cosines[j], sines[j]);
    }
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float* pair = j < 2 ? x + 2 * j : y + 2 * j - 4;
      const float u = pair[0], v = pair[1];
      pair[0] = turnedFirst(u, v, cosines[j], sines[j]);
      pair[1] = turnedSecond(u, v, cosines[j], sines[j]);
    }
  }
  store4(to, toType, whole, first, firstEnd, x);
  store4(to, toType, whole, second, 2 * half, y);
}

/// A head is done in pieces of four pairs, then of four elements that are only copied.
__device__ inline int rotationPieces(const pw_gpu_rotation& r) {
  return (r.half + 3) / 4 + (r.copyTail ? (r.dim - 2 * r.half + 3) / 4 : 0);
}

__device__ inline void rotatePiece(const pw_gpu_rotation& r, const pw_gpu_heads& x, const pw_gpu_heads& out,
                                   int64_t row, int64_t head, int piece) {
  const void* from = floatAt(x.data, x.dtype, row * x.rowStride + head * x.headStride);
  void* to = floatAt(out.data, out.dtype, row * out.rowStride + head * out.headStride);
  const int rotated = (r.half + 3) / 4;
  if (piece < rotated) return rotatePairs(r, from, x.dtype, to, out.dtype, r.table + row * r.tableStride, 4 * piece);
  const int i = 2 * r.half + 4 * (piece - rotated);
  const bool whole = r.aligned && 2 * r.half % 4 == 0 && i + 4 <= r.dim;
  float values[4];
  load4(from, x.dtype, whole, i, r.dim, values);
  store4(to, out.dtype, whole, i, r.dim, values);
}

}  // namespace pw
