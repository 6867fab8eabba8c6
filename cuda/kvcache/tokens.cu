// SPDX-License-Identifier: Apache-2.0
/// @file Tokens into the cache and out of it, bit for bit as on the CPU: conversions round to nearest even; int8 takes
/// scale = max|x| / 127 and code = x / scale, both in f32. A row with a NaN or infinity gets scale NaN.
#include "common/divide.cuh"
#include "common/dtype.cuh"
#include "common/reduce.cuh"
#include "pagewarp/gpu/kvcache.h"
#include "pagewarp/status.h"

namespace pw {
namespace {

constexpr int kThreads = 128;

__device__ inline int64_t slotOf(const pw_gpu_kv_rows_params& p, int row) {
  if (p.slotsAre64) return static_cast<const int64_t*>(p.slots)[row * p.slotStride];
  return static_cast<const int32_t*>(p.slots)[row * p.slotStride];
}

/// One token's place in one kv head.
struct Place {
  void* pool;
  int64_t at;  // element of the pool
  float* scale;
  void* tokens;
  int64_t tokenAt;
  int poolType, tokenType;
};

__device__ inline Place placeOf(const pw_gpu_kv_tokens& t, int64_t slot, int pageSize, int row, int head) {
  const int64_t page = slot / pageSize, offset = slot % pageSize;
  Place place{t.pool,
              page * t.poolStrides[0] + offset * t.poolStrides[1] + head * t.poolStrides[2],
              nullptr,
              t.tokens,
              row * t.tokenStrides[0] + head * t.tokenStrides[1],
              t.poolType,
              t.tokenType};
  if (t.scale) place.scale = t.scale + page * t.scaleStrides[0] + offset * t.scaleStrides[1] + head * t.scaleStrides[2];
  return place;
}

template <int N>
__device__ inline void storeCodes(int8_t* to, const float (&x)[N], float scale) {
  int8_t codes[N];
#pragma unroll
  for (int j = 0; j < N; ++j) codes[j] = static_cast<int8_t>(scale > 0.0f ? __float2int_rn(x[j] / scale) : 0);
  if constexpr (N == 4)
    *reinterpret_cast<char4*>(to) = make_char4(codes[0], codes[1], codes[2], codes[3]);
  else
    to[0] = codes[0];
}

template <int N>
__device__ inline void loadCodes(const int8_t* from, float scale, float (&x)[N]) {
  if constexpr (N == 4) {
    const char4 codes = *reinterpret_cast<const char4*>(from);
    x[0] = codes.x * scale, x[1] = codes.y * scale, x[2] = codes.z * scale, x[3] = codes.w * scale;
  } else {
    x[0] = from[0] * scale;
  }
}

/// One row of the token's keys or values, by a warp.
template <int N>
__device__ void storeToken(const Place& place, int dim) {
  const int lane = threadIdx.x % kWarp;
  float scale = 0.0f;
  if (place.scale) {
    float largest = 0.0f, zeros = 0.0f;
    for (int d = lane * N; d < dim; d += kWarp * N) {
      float x[N];
      loadChunk(place.tokens, place.tokenType, place.tokenAt + d, x);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        zeros += x[j] * 0.0f;
        largest = fmaxf(largest, fabsf(x[j]));
      }
    }
    largest = reduceWarp(largest, Maximum());
    zeros = reduceWarp(zeros, Sum());
    scale = zeros == 0.0f ? largest / 127.0f : __int_as_float(0x7fc00000);
    if (lane == 0) *place.scale = scale;
  }
  for (int d = lane * N; d < dim; d += kWarp * N) {
    float x[N];
    loadChunk(place.tokens, place.tokenType, place.tokenAt + d, x);
    if (place.scale)
      storeCodes(static_cast<int8_t*>(place.pool) + place.at + d, x, scale);
    else
      storeChunk(place.pool, place.poolType, place.at + d, x);
  }
}

template <int N>
__device__ void loadToken(const Place& place, bool present, int dim) {
  const int lane = threadIdx.x % kWarp;
  const float scale = present && place.scale ? *place.scale : 0.0f;
  for (int d = lane * N; d < dim; d += kWarp * N) {
    float x[N] = {};
    if (present && place.scale)
      loadCodes(static_cast<const int8_t*>(place.pool) + place.at + d, scale, x);
    else if (present)
      loadChunk(place.pool, place.poolType, place.at + d, x);
    storeChunk(place.tokens, place.tokenType, place.tokenAt + d, x);
  }
}

/// Calls body(tokens, slot, whether the slot is in the pool, row, head), a warp each, for keys and values of every row.
template <class Body>
__device__ void forEachToken(const pw_gpu_kv_rows_params& p, Body&& body) {
  const int64_t count = static_cast<int64_t>(p.rows) * p.kvHeads.divisor * 2;
  constexpr int kWarps = kThreads / kWarp;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < count;
       i += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t pair = i >> 1;
    const int row = static_cast<int>(pair / p.kvHeads.divisor), head = static_cast<int>(pair % p.kvHeads.divisor);
    const int64_t slot = slotOf(p, row);
    const bool present = slot >= 0 && slot < p.slotCount;
    if (!present && slot != -1 && threadIdx.x % kWarp == 0) pw_gpu_report(p.error, PW_INVALID_ARGUMENT, row, slot);
    body(i & 1 ? p.v : p.k, present ? slot : 0, present, row, head);
  }
}

template <int N>
__device__ void append(const pw_gpu_kv_rows_params& p) {
  forEachToken(p, [&](const pw_gpu_kv_tokens& t, int64_t slot, bool present, int row, int head) {
    if (present) storeToken<N>(placeOf(t, slot, p.pageSize, row, head), p.headDim);
  });
}

template <int N>
__device__ void gather(const pw_gpu_kv_rows_params& p) {
  forEachToken(p, [&](const pw_gpu_kv_tokens& t, int64_t slot, bool present, int row, int head) {
    loadToken<N>(placeOf(t, slot, p.pageSize, row, head), present, p.headDim);
  });
}

}  // namespace
}  // namespace pw

using namespace pw;

extern "C" __global__ void __launch_bounds__(kThreads) pw_append_kv(const __grid_constant__ pw_gpu_kv_rows_params p) {
  if (p.vectors)
    append<4>(p);
  else
    append<1>(p);
}

extern "C" __global__ void __launch_bounds__(kThreads) pw_gather_kv(const __grid_constant__ pw_gpu_kv_rows_params p) {
  if (p.vectors)
    gather<4>(p);
  else
    gather<1>(p);
}
