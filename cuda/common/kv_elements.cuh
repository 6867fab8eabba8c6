// SPDX-License-Identifier: Apache-2.0
/// @file Elements of a KV cache of any type. A row begins at element `at` of its pool: at a byte, for codes.
#pragma once
#include "common/dtype.cuh"
#include "pagewarp/kv_codes.h"

namespace pw {

static_assert(PW_KV_F32 == static_cast<int>(PW_F32) && PW_KV_F16 == static_cast<int>(PW_F16) &&
                  PW_KV_BF16 == static_cast<int>(PW_BF16),
              "types that are no codes have the numbers of their dtypes");

/// N elements of a row from `d`, a multiple of N, on. N = 4: at a multiple of their size; N = 2: at any address, those
/// below `dim`.
template <int N>
__device__ inline void loadKv(const void* pool, pw_kv_type type, int64_t at, int d, int dim, float scale,
                              float (&x)[N]) {
  static_assert(N == 2 || N == 4, "chunks have 2 or 4 elements");
  if (!pw_kv_is_codes(type)) {
    if constexpr (N == 4)
      loadChunk(pool, type, at + d, x);
    else
      loadPart(pool, type, at + d, at + dim, x);
    return;
  }
  const uint8_t* row = static_cast<const uint8_t*>(pool) + at;
  uint8_t bytes[N] = {};
  if (N == 4 && type == PW_KV_I4) {
    const uchar2 two = *reinterpret_cast<const uchar2*>(row + d / 2);
    bytes[0] = two.x, bytes[1] = two.y;
  } else if constexpr (N == 4) {
    const uchar4 four = *reinterpret_cast<const uchar4*>(row + d);
    bytes[0] = four.x, bytes[1] = four.y, bytes[2] = four.z, bytes[3] = four.w;
  } else {
    bytes[0] = row[type == PW_KV_I4 ? d / 2 : d];
    if (type != PW_KV_I4 && d + 1 < dim) bytes[1] = row[d + 1];
  }
#pragma unroll
  for (int j = 0; j < N; ++j) x[j] = pw_kv_decode(type, bytes, j) * scale;
}

/// Elements divided by their row's scale, which is 1 where there are no codes, as the pool holds them. See loadKv.
template <int N>
__device__ inline void storeKv(void* pool, pw_kv_type type, int64_t at, int d, int dim, float scale,
                               const float (&x)[N]) {
  static_assert(N == 2 || N == 4, "chunks have 2 or 4 elements");
  if (!pw_kv_is_codes(type)) {
    if constexpr (N == 4)
      storeChunk(pool, type, at + d, x);
    else
      storePart(pool, type, at + d, at + dim, x);
    return;
  }
  uint8_t* row = static_cast<uint8_t*>(pool) + at;
  uint32_t codes[N];
#pragma unroll
  for (int j = 0; j < N; ++j) codes[j] = scale > 0.0f ? pw_kv_encode(type, x[j] / scale) : 0u;
  if (type == PW_KV_I4) {
    row += d / 2;
    if constexpr (N == 4)
      *reinterpret_cast<uint16_t*>(row) =
          static_cast<uint16_t>(codes[0] | codes[1] << 4 | codes[2] << 8 | codes[3] << 12);
    else
      *row = static_cast<uint8_t>(codes[0] | codes[1] << 4);
    return;
  }
  row += d;
  if constexpr (N == 4) {
    *reinterpret_cast<uint32_t*>(row) = codes[0] | codes[1] << 8 | codes[2] << 16 | codes[3] << 24;
  } else {
    row[0] = static_cast<uint8_t>(codes[0]);
    if (d + 1 < dim) row[1] = static_cast<uint8_t>(codes[1]);
  }
}

}  // namespace pw
