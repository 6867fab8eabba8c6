// SPDX-License-Identifier: Apache-2.0
/// @file Rotary position embedding: the angles of a step's rows, and the rotation of queries and keys.
#include "common/dtype.cuh"
#include "pagewarp/gpu/rope.h"

namespace pw {
namespace {

struct SineCosine {
  double sine, cosine;
};

/// Both in float64, to some 1e-13: the table holds f32. The angle is reduced by pi/2 in two parts (107 bits of it); the
/// libraries' versions spend a local array on angles that no position reaches.
__device__ SineCosine sineCosine(double angle) {
  const double quarter = rint(angle * 0.63661977236758134308);
  double r = fma(-quarter, 1.57079632679489655800, angle);
  r = fma(-quarter, 6.12323399573676603587e-17, r);
  const double s = r * r;
  // Taylor series: at |r| <= pi/4 the first term that is left out is below 1e-13.
  double sine = fma(s, 1.6059043836821613e-10, -2.5052108385441720e-8);
  sine = fma(s, sine, 2.7557319223985893e-6);
  sine = fma(s, sine, -1.9841269841269841e-4);
  sine = fma(s, sine, 8.3333333333333333e-3);
  sine = fma(s, sine, -1.6666666666666667e-1);
  sine = fma(s * r, sine, r);
  double cosine = fma(s, 2.0876756987868099e-9, -2.7557319223985891e-7);
  cosine = fma(s, cosine, 2.4801587301587302e-5);
  cosine = fma(s, cosine, -1.3888888888888889e-3);
  cosine = fma(s, cosine, 4.1666666666666667e-2);
  cosine = fma(s, cosine, -0.5);
  cosine = fma(s, cosine, 1.0);
  const int quadrant = static_cast<int>(static_cast<long long>(quarter) & 3);
  const double first = quadrant & 1 ? cosine : sine, second = quadrant & 1 ? sine : cosine;
  return {quadrant & 2 ? -first : first, quadrant == 1 || quadrant == 2 ? -second : second};
}

/// Pairs [i, i + 4) of a head: u and v are turned by the angles of `cosines` and `sines`.
__device__ void rotate(float (&u)[4], float (&v)[4], const float (&cosines)[4], const float (&sines)[4]) {
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const float x = u[j], y = v[j];
    u[j] = x * cosines[j] - y * sines[j];
    v[j] = x * sines[j] + y * cosines[j];
  }
}

__device__ void load4(const void* p, int dtype, bool whole, int64_t i, int64_t size, float (&x)[4]) {
  if (whole)
    loadChunk(p, dtype, i, x);
  else
    loadPart(p, dtype, i, size, x);
}

__device__ void store4(void* p, int dtype, bool whole, int64_t i, int64_t size, const float (&x)[4]) {
  if (whole)
    storeChunk(p, dtype, i, x);
  else
    storePart(p, dtype, i, size, x);
}

/// Four pairs of one head of one row, beginning with pair `i`.
__device__ void rotatePiece(const pw_gpu_rope_params& p, const void* from, int fromType, void* to, int toType,
                            const float* table, int i) {
  const int half = p.half;
  const bool whole = p.aligned && i + 4 <= half;
  float cosines[4], sines[4], u[4], v[4];
  load4(table, PW_F32, whole, i, half, cosines);
  load4(table + half, PW_F32, whole, i, half, sines);
  if (!p.interleaved) {
    load4(from, fromType, whole, i, half, u);
    load4(from, fromType, whole, half + i, 2 * half, v);
    rotate(u, v, cosines, sines);
    store4(to, toType, whole, i, half, u);
    store4(to, toType, whole, half + i, 2 * half, v);
    return;
  }
  float first[4], second[4];
  load4(from, fromType, whole, 2 * i, 2 * half, first);
  load4(from, fromType, whole, 2 * i + 4, 2 * half, second);
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    u[j] = first[2 * j], v[j] = first[2 * j + 1];
    u[2 + j] = second[2 * j], v[2 + j] = second[2 * j + 1];
  }
  rotate(u, v, cosines, sines);
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    first[2 * j] = u[j], first[2 * j + 1] = v[j];
    second[2 * j] = u[2 + j], second[2 * j + 1] = v[2 + j];
  }
  store4(to, toType, whole, 2 * i, 2 * half, first);
  store4(to, toType, whole, 2 * i + 4, 2 * half, second);
}

}  // namespace
}  // namespace pw

extern "C" __global__ void __launch_bounds__(128) pw_rope_table(const __grid_constant__ pw_gpu_rope_table_params p) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= p.half) return;
  const double frequency = static_cast<double>(p.high[i]) + static_cast<double>(p.low[i]);
  for (int row = static_cast<int>(blockIdx.y); row < p.rows; row += static_cast<int>(gridDim.y)) {
    const int64_t at = row * p.positionStride;
    const double position = p.wide ? static_cast<double>(static_cast<const int64_t*>(p.positions)[at])
                                   : static_cast<double>(static_cast<const int32_t*>(p.positions)[at]);
    const pw::SineCosine turned = pw::sineCosine(position * frequency);
    float* table = p.table + row * p.tableStride;
    table[i] = static_cast<float>(turned.cosine * p.magnitude);
    table[p.half + i] = static_cast<float>(turned.sine * p.magnitude);
  }
}

extern "C" __global__ void __launch_bounds__(256) pw_rope(const __grid_constant__ pw_gpu_rope_params p) {
  const int64_t row = blockIdx.x;
  const float* table = p.table + row * p.tableStride;
  const int rotated = (p.half + 3) / 4, copied = p.copyTail ? (p.dim - 2 * p.half + 3) / 4 : 0;
  const int pieces = rotated + copied, items = (p.heads + p.kvHeads) * pieces;
  for (int item = static_cast<int>(threadIdx.x); item < items; item += static_cast<int>(blockDim.x)) {
    const int head = item / pieces, piece = item - head * pieces;
    const bool isQuery = head < p.heads;
    const pw_gpu_heads &x = isQuery ? p.q : p.k, &out = isQuery ? p.qOut : p.kOut;
    const int64_t h = isQuery ? head : head - p.heads;
    const void* from = pw::floatAt(x.data, x.dtype, row * x.rowStride + h * x.headStride);
    void* to = pw::floatAt(out.data, out.dtype, row * out.rowStride + h * out.headStride);
    if (piece < rotated) {
      pw::rotatePiece(p, from, x.dtype, to, out.dtype, table, 4 * piece);
      continue;
    }
    const int i = 2 * p.half + 4 * (piece - rotated);
    const bool whole = p.aligned && 2 * p.half % 4 == 0 && i + 4 <= p.dim;
    float values[4];
    pw::load4(from, x.dtype, whole, i, p.dim, values);
    pw::store4(to, out.dtype, whole, i, p.dim, values);
  }
}
