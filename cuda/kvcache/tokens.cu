// SPDX-License-Identifier: Apache-2.0
/// @file Tokens into the cache and out of it, bit for bit as on the CPU: conversions round to nearest even; kv_codes.h
/// defines codes.
#include "common/kv_elements.cuh"
#include "common/reduce.cuh"
#include "pagewarp/gpu/kvcache.h"
#include "pagewarp/status.h"
#include "rope/rotate.cuh"

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
  pw_kv_type poolType;
  int tokenType;
};

__device__ inline Place placeOf(const pw_gpu_kv_tokens& t, int64_t slot, int pageSize, int row, int head) {
  const int64_t page = slot / pageSize, offset = slot % pageSize;
  Place place{t.pool,
              page * t.poolStrides[0] + offset * t.poolStrides[1] + head * t.poolStrides[2],
              nullptr,
              t.tokens,
              row * t.tokenStrides[0] + head * t.tokenStrides[1],
              static_cast<pw_kv_type>(t.poolType),
              t.tokenType};
  if (t.scale) place.scale = t.scale + page * t.scaleStrides[0] + offset * t.scaleStrides[1] + head * t.scaleStrides[2];
  return place;
}

/// Elements of a token's row: four at a time, or two where they may not be aligned.
template <int N>
__device__ inline void loadToken(const Place& place, int d, int dim, float (&x)[N]) {
  if constexpr (N == 4)
    loadChunk(place.tokens, place.tokenType, place.tokenAt + d, x);
  else
    loadPart(place.tokens, place.tokenType, place.tokenAt + d, place.tokenAt + dim, x);
}

/// The same, turned and rounded to the token's type: what the rotation of keys alone would have left there. N = 4 takes
/// a rotation that is aligned.
template <int N>
__device__ inline void loadTurned(const Place& place, const pw_gpu_rotation& r, const float* table, int d,
                                  float (&x)[N]) {
  loadToken(place, d, r.dim, x);
  if (d >= 2 * r.half) return;
  float other[N];  // of the pairs that x has one element of
  if (N == 4 && !r.interleaved) loadToken(place, d < r.half ? d + r.half : d - r.half, r.dim, other);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const int e = d + j;
    if (r.interleaved) {
      if (j % 2 == 1 || e >= 2 * r.half) continue;  // pairs together
      const float u = x[j], v = x[j + 1], cosine = table[e / 2], sine = table[r.half + e / 2];
      x[j] = roundTo(place.tokenType, turnedFirst(u, v, cosine, sine));
      x[j + 1] = roundTo(place.tokenType, turnedSecond(u, v, cosine, sine));
      continue;
    }
    if (e >= 2 * r.half) continue;
    const bool first = e < r.half;
    const int angle = first ? e : e - r.half;
    const float cosine = table[angle], sine = table[r.half + angle];
    if (N != 4) other[j] = loadFloat(place.tokens, place.tokenType, place.tokenAt + (first ? e + r.half : e - r.half));
    x[j] = roundTo(place.tokenType,
                   first ? turnedFirst(x[j], other[j], cosine, sine) : turnedSecond(other[j], x[j], cosine, sine));
  }
}

/// What a warp divides a row by, which its lanes hold the elements of.
__device__ inline float scaleOf(pw_kv_type type, float largest, float zeros) {
  largest = reduceWarp(largest, Maximum());
  zeros = reduceWarp(zeros, Sum());
  return zeros == 0.0f ? largest / pw_kv_largest_code(type) : __int_as_float(0x7fc00000);
}

/// One row of the token's keys or values, by a warp; load(d, x) gives its elements from d on.
template <int N, class Load>
__device__ void storeRow(const Place& place, int dim, Load&& load) {
  const int lane = threadIdx.x % kWarp;
  float scale = 1.0f;
  if (place.scale) {
    float largest = 0.0f, zeros = 0.0f;
    for (int d = lane * N; d < dim; d += kWarp * N) {
      float x[N];
      load(d, x);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        zeros += x[j] * 0.0f;
        largest = fmaxf(largest, fabsf(x[j]));
      }
    }
    scale = scaleOf(place.poolType, largest, zeros);
    if (lane == 0) *place.scale = scale;
  }
  for (int d = lane * N; d < dim; d += kWarp * N) {
    float x[N];
    load(d, x);
    storeKv(place.pool, place.poolType, place.at, d, dim, scale, x);
  }
}

template <int N>
__device__ void loadRow(const Place& place, bool present, int dim) {
  const int lane = threadIdx.x % kWarp;
  const float scale = present && place.scale ? *place.scale : 1.0f;
  for (int d = lane * N; d < dim; d += kWarp * N) {
    float x[N] = {};
    if (present) loadKv(place.pool, place.poolType, place.at, d, dim, scale, x);
    if constexpr (N == 4)
      storeChunk(place.tokens, place.tokenType, place.tokenAt + d, x);
    else
      storePart(place.tokens, place.tokenType, place.tokenAt + d, place.tokenAt + dim, x);
  }
}

/// The slot of a row, if it is in the pool; one that should be and is not is reported.
__device__ inline bool findSlot(const pw_gpu_kv_rows_params& p, int row, int64_t& slot) {
  slot = slotOf(p, row);
  if (slot >= 0 && slot < p.slotCount) return true;
  if (slot != -1 && threadIdx.x % kWarp == 0) pw_gpu_report(p.error, PW_INVALID_ARGUMENT, row, slot);
  return false;
}

/// Calls body(row, task) for `tasks` tasks of every row, a warp each: blocks along x go over tasks, along y over rows.
template <class Body>
__device__ void forEachRow(const pw_gpu_kv_rows_params& p, int tasks, Body&& body) {
  const int task = static_cast<int>((blockIdx.x * kThreads + threadIdx.x) / kWarp);
  if (task >= tasks) return;
  for (int row = static_cast<int>(blockIdx.y); row < p.rows; row += static_cast<int>(gridDim.y)) body(row, task);
}

/// Tasks 2h and 2h + 1 of a row are the keys and the values of kv head h.
template <int N>
__device__ void append(const pw_gpu_kv_rows_params& p) {
  forEachRow(p, 2 * p.kvHeads, [&](int row, int task) {
    int64_t slot;
    if (!findSlot(p, row, slot)) return;
    const Place place = placeOf(task & 1 ? p.v : p.k, slot, p.pageSize, row, task / 2);
    storeRow<N>(place, p.headDim, [&](int d, float(&x)[N]) { loadToken(place, d, p.headDim, x); });
  });
}

/// As in append; further tasks are the heads of q.
template <int N>
__device__ void ropeAppend(const pw_gpu_rope_append_params& p) {
  const int kvTasks = 2 * p.append.kvHeads;
  forEachRow(p.append, kvTasks + p.heads, [&](int row, int task) {
    if (task >= kvTasks) {
      for (int piece = threadIdx.x % kWarp; piece < rotationPieces(p.rotation); piece += kWarp)
        rotatePiece(p.rotation, p.q, p.qOut, row, task - kvTasks, piece);
      return;
    }
    int64_t slot;
    if (!findSlot(p.append, row, slot)) return;
    const Place place = placeOf(task & 1 ? p.append.v : p.append.k, slot, p.append.pageSize, row, task / 2);
    const pw_gpu_rotation& rotation = p.keyRotation;
    const float* table = task & 1 ? nullptr : rotation.table + row * rotation.tableStride;
    storeRow<N>(place, p.append.headDim, [&](int d, float(&x)[N]) {
      if (table)
        loadTurned(place, rotation, table, d, x);
      else
        loadToken(place, d, p.append.headDim, x);
    });
  });
}

template <int N>
__device__ void gather(const pw_gpu_kv_rows_params& p) {
  forEachRow(p, 2 * p.kvHeads, [&](int row, int task) {
    int64_t slot;
    const bool present = findSlot(p, row, slot);
    loadRow<N>(placeOf(task & 1 ? p.v : p.k, present ? slot : 0, p.pageSize, row, task / 2), present, p.headDim);
  });
}

}  // namespace
}  // namespace pw

using namespace pw;

extern "C" __global__ void __launch_bounds__(kThreads) pw_append_kv(const __grid_constant__ pw_gpu_kv_rows_params p) {
  if (p.vectors)
    append<4>(p);
  else
    append<2>(p);
}

// Eight blocks: without a number the compiler aims at more of them, and spills.
extern "C" __global__ void __launch_bounds__(kThreads, 8)
    pw_rope_append_kv(const __grid_constant__ pw_gpu_rope_append_params p) {
  if (p.append.vectors)
    ropeAppend<4>(p);
  else
    ropeAppend<2>(p);
}

extern "C" __global__ void __launch_bounds__(kThreads) pw_gather_kv(const __grid_constant__ pw_gpu_kv_rows_params p) {
  if (p.vectors)
    gather<4>(p);
  else
    gather<2>(p);
}
