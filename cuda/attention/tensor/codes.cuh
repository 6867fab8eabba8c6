// SPDX-License-Identifier: Apache-2.0
/// @file Codes of a quantised cache become operands of the tensor cores in registers, exactly: all of them have few
/// enough bits for f16 and for bf16. See kv_codes.h for their meaning.
#pragma once
#include "common/dtype.cuh"
#include "pagewarp/kv_codes.h"

namespace pw {

/// Cache elements in 16 bits.
template <pw_kv_type kCache>
constexpr int kPack = 16 / pw_kv_bits(kCache);

__device__ inline void addHalves(uint32_t& x, uint32_t y) { asm("add.rn.f16x2 %0, %0, %1;" : "+r"(x) : "r"(y)); }

template <int kType>
__device__ inline void multiplyAdd(uint32_t& x, uint32_t factor, uint32_t summand) {
  if (kType == PW_F16)
    asm("fma.rn.f16x2 %0, %0, %1, %2;" : "+r"(x) : "r"(factor), "r"(summand));
  else
    asm("fma.rn.bf16x2 %0, %0, %1, %2;" : "+r"(x) : "r"(factor), "r"(summand));
}

template <int kType>
__device__ inline void expandInt8(uint32_t codes, uint32_t (&pairs)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint32_t bytes = codes >> (8 * i);
    if (kType == PW_F16) {
      pairs[i] = (bytes & 0x00ff00ffu) ^ 0x64806480u;  // 1024 + 128 + code
      addHalves(pairs[i], 0xe480e480u);                // -1152
    } else {
      // 0x4300 | low seven bits is 128 + these; 0x4300 | sign is 128, or 256 for negative codes.
      pairs[i] = (bytes & 0x00800080u) | 0x43004300u;
      multiplyAdd<PW_BF16>(pairs[i], 0xbf80bf80u, (bytes & 0x007f007fu) | 0x43004300u);
    }
  }
}

/// The exponents' bias is put right by a multiplication, which also makes normal numbers of E4M3's subnormal ones.
template <int kType>
__device__ inline void expandE4M3(uint32_t codes, uint32_t (&pairs)[2]) {
  const uint32_t words[2] = {codes << 8, codes};
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint32_t sign = words[i] & 0x80008000u, minusZero = 0x80008000u;
    if (kType == PW_F16) {
      pairs[i] = sign | ((words[i] >> 1) & 0x3f803f80u);
      multiplyAdd<PW_F16>(pairs[i], 0x5c005c00u, minusZero);  // 2^8
    } else {
      pairs[i] = sign | ((words[i] >> 4) & 0x07f007f0u);
      multiplyAdd<PW_BF16>(pairs[i], 0x7b807b80u, minusZero);  // 2^120
    }
  }
}

template <int kType>
__device__ inline void expandInt4(uint32_t codes, uint32_t (&pairs)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (kType == PW_BF16) {
      pairs[i] = ((codes >> (4 * i)) & 0x000f000fu) ^ 0x43084308u;  // 128 + 8 + code
      multiplyAdd<PW_BF16>(pairs[i], 0x3f803f80u, 0xc308c308u);     // -136
      continue;
    }
    const uint32_t bytes = codes >> (8 * (i / 2));
    if (i % 2 == 0) {
      pairs[i] = (bytes & 0x000f000fu) ^ 0x64086408u;  // 1024 + 8 + code
      addHalves(pairs[i], 0xe408e408u);                // -1032
    } else {
      pairs[i] = (bytes & 0x00f000f0u) ^ 0x64806480u;           // 1024 + 16 (8 + code)
      multiplyAdd<PW_F16>(pairs[i], 0x2c002c00u, 0xd480d480u);  // / 16 - 72
    }
  }
}

/// Elements of 32 bits of a cache as pairs of type kType: pair i has elements i and i + kPack.
template <int kType, pw_kv_type kCache>
__device__ inline void expand(uint32_t word, uint32_t (&pairs)[kPack<kCache>]) {
  if constexpr (kCache == PW_KV_I8)
    expandInt8<kType>(word, pairs);
  else if constexpr (kCache == PW_KV_FP8_E4M3)
    expandE4M3<kType>(word, pairs);
  else if constexpr (kCache == PW_KV_I4)
    expandInt4<kType>(word, pairs);
  else
    pairs[0] = word;
}

}  // namespace pw
