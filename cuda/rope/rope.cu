// SPDX-License-Identifier: Apache-2.0
/// @file Rotary position embedding: the angles of a step's rows, and the rotation of queries and keys.
#include "rope/rotate.cuh"

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
  const int pieces = pw::rotationPieces(p.rotation), items = (p.heads + p.kvHeads) * pieces;
  for (int item = static_cast<int>(threadIdx.x); item < items; item += static_cast<int>(blockDim.x)) {
    const int head = item / pieces, piece = item - head * pieces;
    if (head < p.heads)
      pw::rotatePiece(p.rotation, p.q, p.qOut, row, head, piece);
    else
      pw::rotatePiece(p.rotation, p.k, p.kOut, row, head - p.heads, piece);
  }
}
