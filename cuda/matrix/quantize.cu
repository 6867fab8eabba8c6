// SPDX-License-Identifier: Apache-2.0
/// @file Rounds floating-point rows to nearest in a GGUF block format: bit for bit what core/matrix/quantize.cpp does,
/// so every operation is rounded on its own (no multiply-add).
#include "common/dtype.cuh"
#include "pagewarp/gpu/matrix.h"

namespace pw::gpu {
namespace {

constexpr int kGroup = 32;

__device__ float reciprocal(float scale) { return scale != 0.0f ? __fdiv_rn(1.0f, scale) : 0.0f; }

/// Clamped to [0, largest], halves up. A NaN becomes some code.
__device__ int nearestCode(float x, int largest) { return min(max(__float2int_rz(__fadd_rn(x, 0.5f)), 0), largest); }

__device__ void storeHalf(uint8_t* to, float x) {
  const uint16_t bits = floatToHalf(x);
  to[0] = static_cast<uint8_t>(bits);
  to[1] = static_cast<uint8_t>(bits >> 8);
}

__device__ void storeNibbles(uint8_t* to, const int (&codes)[kGroup]) {
#pragma unroll
  for (int i = 0; i < kGroup / 2; ++i) to[i] = static_cast<uint8_t>(codes[i] | codes[kGroup / 2 + i] << 4);
}

/// The value of largest magnitude becomes code 0, which is -8: its sign is kept.
__device__ void quantizeQ4_0(const float (&x)[kGroup], uint8_t* out) {
  float extreme = 0.0f;
  int codes[kGroup];
#pragma unroll
  for (int i = 0; i < kGroup; ++i)
    if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
  const float scale = __fdiv_rn(extreme, -8.0f), inverse = reciprocal(scale);
#pragma unroll
  for (int i = 0; i < kGroup; ++i) codes[i] = nearestCode(__fadd_rn(__fmul_rn(x[i], inverse), 8.0f), 15);
  storeHalf(out, scale);
  storeNibbles(out + 2, codes);
}

__device__ void quantizeQ4_1(const float (&x)[kGroup], uint8_t* out) {
  float low = x[0], high = x[0];
  int codes[kGroup];
#pragma unroll
  for (int i = 1; i < kGroup; ++i) {
    if (x[i] < low) low = x[i];
    if (high < x[i]) high = x[i];
  }
  const float scale = __fdiv_rn(__fsub_rn(high, low), 15.0f), inverse = reciprocal(scale);
#pragma unroll
  for (int i = 0; i < kGroup; ++i) codes[i] = nearestCode(__fmul_rn(__fsub_rn(x[i], low), inverse), 15);
  storeHalf(out, scale);
  storeHalf(out + 2, low);
  storeNibbles(out + 4, codes);
}

__device__ void quantizeQ8_0(const float (&x)[kGroup], uint8_t* out) {
  float largest = 0.0f;
#pragma unroll
  for (int i = 0; i < kGroup; ++i)
    if (largest < fabsf(x[i])) largest = fabsf(x[i]);
  const float scale = __fdiv_rn(largest, 127.0f), inverse = reciprocal(scale);
  storeHalf(out, scale);
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    // To nearest, halves away from zero.
    const float scaled = __fmul_rn(x[i], inverse);
    out[2 + i] = static_cast<uint8_t>(__float2int_rz(roundf(scaled)));
  }
}

}  // namespace
}  // namespace pw::gpu

/// A thread per group of 32 columns.
extern "C" __global__ void __launch_bounds__(128) pw_quantize(const __grid_constant__ pw_gpu_quantize_params p) {
  using namespace pw::gpu;
  const int64_t groups = p.k / kGroup, index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t row = index / groups, group = index % groups;
  if (row >= p.rows) return;
  const int64_t from = (p.first_row + row) * p.x_stride + group * kGroup;
  float x[kGroup];
#pragma unroll
  for (int i = 0; i < kGroup; ++i) x[i] = pw::loadFloat(p.x, p.x_type, from + i);
  uint8_t* out = p.out + row * p.row_bytes;
  if (p.format == PW_MATRIX_W4)
    quantizeQ4_0(x, out + group * 18);
  else if (p.format == PW_MATRIX_W4M)
    quantizeQ4_1(x, out + group * 20);
  else
    quantizeQ8_0(x, out + group * 34);
}
