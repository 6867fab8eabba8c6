// SPDX-License-Identifier: Apache-2.0
/// @file Activations of any floating type, read and written as f32. The type is a value known at run time: a branch
/// that all threads take alike costs nothing beside a 16-byte access, and saves an instance per combination of types.
///
/// Conversions are PTX: <cuda_fp16.h> doubles what a small file takes to compile.
#pragma once
#include <stdint.h>

#include "pagewarp/dtype.h"

namespace pw {

__device__ inline float halfToFloat(uint16_t bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}

__device__ inline uint16_t floatToHalf(float x) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

__device__ inline float bfloatToFloat(uint16_t bits) { return __uint_as_float(static_cast<uint32_t>(bits) << 16); }

__device__ inline uint16_t floatToBfloat(float x) {
  uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

/// Two floats as one word of halves: `low` in the low half, where the first of two elements lies in memory.
__device__ inline uint32_t floatsToHalf2(float low, float high) {
  uint32_t bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

__device__ inline uint32_t floatsToBfloat2(float low, float high) {
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

/// The elements of a word of two f16 (kDtype PW_F16) or bf16.
template <int kDtype>
__device__ inline void unpack2(uint32_t word, float& low, float& high) {
  if (kDtype == PW_F16) {
    low = halfToFloat(static_cast<uint16_t>(word));
    high = halfToFloat(static_cast<uint16_t>(word >> 16));
  } else {
    low = __uint_as_float(word << 16);
    high = __uint_as_float(word & 0xffff0000u);
  }
}

__device__ inline void unpack2(uint32_t word, int dtype, float& low, float& high) {
  if (dtype == PW_F16)
    unpack2<PW_F16>(word, low, high);
  else
    unpack2<PW_BF16>(word, low, high);
}

__device__ inline uint32_t pack2(float low, float high, int dtype) {
  return dtype == PW_F16 ? floatsToHalf2(low, high) : floatsToBfloat2(low, high);
}

/// Address of element `i` of a floating type.
__device__ inline char* floatAt(const void* p, int dtype, int64_t i) {
  return const_cast<char*>(static_cast<const char*>(p)) + i * (dtype == PW_F32 ? 4 : 2);
}

/// One floating element.
__device__ inline float loadFloat(const void* p, int dtype, int64_t i) {
  if (dtype == PW_F32) return static_cast<const float*>(p)[i];
  const uint16_t bits = static_cast<const uint16_t*>(p)[i];
  return dtype == PW_F16 ? halfToFloat(bits) : bfloatToFloat(bits);
}

__device__ inline void storeFloat(void* p, int dtype, int64_t i, float x) {
  if (dtype == PW_F32)
    static_cast<float*>(p)[i] = x;
  else
    static_cast<uint16_t*>(p)[i] = dtype == PW_F16 ? floatToHalf(x) : floatToBfloat(x);
}

/// `x` as a tensor of this type would hold it.
__device__ inline float roundTo(int dtype, float x) {
  if (dtype == PW_F32) return x;
  return dtype == PW_F16 ? halfToFloat(floatToHalf(x)) : bfloatToFloat(floatToBfloat(x));
}

/// Elements [i, i + N) in one access of 16 bytes (f32 and N = 4, 16-bit types and N = 8), of 8 bytes (16-bit types and
/// N = 4), or of one element (N = 1). The address must be a multiple of the access. f32 with N = 8 does not exist: its
/// two accesses would each touch every sector.
template <int N>
__device__ inline void loadChunk(const void* p, int dtype, int64_t i, float (&x)[N]) {
  static_assert(N == 1 || N == 4 || N == 8, "chunks have 1, 4 or 8 elements");
  if constexpr (N == 1) {
    x[0] = loadFloat(p, dtype, i);
  } else if constexpr (N == 8) {
    const uint4 words = *reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(p) + i);
    unpack2(words.x, dtype, x[0], x[1]);
    unpack2(words.y, dtype, x[2], x[3]);
    unpack2(words.z, dtype, x[4], x[5]);
    unpack2(words.w, dtype, x[6], x[7]);
  } else if (dtype == PW_F32) {
    const float4 four = *reinterpret_cast<const float4*>(static_cast<const float*>(p) + i);
    x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
  } else {
    const uint2 words = *reinterpret_cast<const uint2*>(static_cast<const uint16_t*>(p) + i);
    unpack2(words.x, dtype, x[0], x[1]);
    unpack2(words.y, dtype, x[2], x[3]);
  }
}

template <int N>
__device__ inline void storeChunk(void* p, int dtype, int64_t i, const float (&x)[N]) {
  if constexpr (N == 1) {
    storeFloat(p, dtype, i, x[0]);
  } else if constexpr (N == 8) {
    *reinterpret_cast<uint4*>(static_cast<uint16_t*>(p) + i) = make_uint4(
        pack2(x[0], x[1], dtype), pack2(x[2], x[3], dtype), pack2(x[4], x[5], dtype), pack2(x[6], x[7], dtype));
  } else if (dtype == PW_F32) {
    *reinterpret_cast<float4*>(static_cast<float*>(p) + i) = make_float4(x[0], x[1], x[2], x[3]);
  } else {
    *reinterpret_cast<uint2*>(static_cast<uint16_t*>(p) + i) =
        make_uint2(pack2(x[0], x[1], dtype), pack2(x[2], x[3], dtype));
  }
}

/// Eight elements of any type whose address is a multiple of 16 bytes, in one access or, for f32, two.
__device__ inline void loadEight(const void* p, int dtype, int64_t i, float (&x)[8]) {
  if (dtype != PW_F32) return loadChunk(p, dtype, i, x);
  float half[4];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    loadChunk(p, PW_F32, i + 4 * h, half);
#pragma unroll
    for (int j = 0; j < 4; ++j) x[4 * h + j] = half[j];
  }
}

__device__ inline void storeEight(void* p, int dtype, int64_t i, const float (&x)[8]) {
  if (dtype != PW_F32) return storeChunk(p, dtype, i, x);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float half[4] = {x[4 * h], x[4 * h + 1], x[4 * h + 2], x[4 * h + 3]};
    storeChunk(p, PW_F32, i + 4 * h, half);
  }
}

/// Elements [i, min(i + N, size)) one by one, `fill` beyond.
template <int N>
__device__ inline void loadPart(const void* p, int dtype, int64_t i, int64_t size, float (&x)[N], float fill = 0.0f) {
#pragma unroll
  for (int j = 0; j < N; ++j) x[j] = i + j < size ? loadFloat(p, dtype, i + j) : fill;
}

template <int N>
__device__ inline void storePart(void* p, int dtype, int64_t i, int64_t size, const float (&x)[N]) {
#pragma unroll
  for (int j = 0; j < N; ++j)
    if (i + j < size) storeFloat(p, dtype, i + j, x[j]);
}

}  // namespace pw
