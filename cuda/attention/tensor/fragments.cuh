// SPDX-License-Identifier: Apache-2.0
/// @file Operands of the tensor cores. Lane l = 4 g + t; see mma16x8x16 for what a lane holds of each.
///
/// int8 codes come from shared memory as if pairs of them were 16-bit elements, so a lane gets four neighbouring
/// columns where it would get two. Columns of q and of the result are numbered accordingly: a sum over columns may take
/// them in any order, if both operands take the same.
#pragma once
#include "common/ldmatrix.cuh"
#include "common/mma.cuh"
#include "common/swizzle.cuh"
#include "pagewarp/gpu/attention_shape.h"

namespace pw {

/// Four signed bytes, exactly, as two pairs of elements: bytes 0 and 2, and bytes 1 and 3.
template <int kType>
__device__ inline void codesToPairs(uint32_t codes, uint32_t& even, uint32_t& odd) {
  if (kType == PW_F16) {
    // 0x6480 ^ code is 1024 + 128 + code.
    const uint32_t bias = 0x64806480u, offset = 0xe480e480u;  // -1152
    even = (codes & 0x00ff00ffu) ^ bias;
    odd = ((codes >> 8) & 0x00ff00ffu) ^ bias;
    asm("add.rn.f16x2 %0, %0, %1;" : "+r"(even) : "r"(offset));
    asm("add.rn.f16x2 %0, %0, %1;" : "+r"(odd) : "r"(offset));
  } else {
    // 0x4300 | low seven bits is 128 + these; 0x4300 | sign is 128, or 256 for negative codes.
    const uint32_t base = 0x43004300u, minusOne = 0xbf80bf80u, high = codes >> 8;
    const uint32_t evenSign = (codes & 0x00800080u) | base, oddSign = (high & 0x00800080u) | base;
    even = (codes & 0x007f007fu) | base;
    odd = (high & 0x007f007fu) | base;
    asm("fma.rn.bf16x2 %0, %1, %2, %0;" : "+r"(even) : "r"(evenSign), "r"(minusOne));
    asm("fma.rn.bf16x2 %0, %1, %2, %0;" : "+r"(odd) : "r"(oddSign), "r"(minusOne));
  }
}

/// Column of the first element of result tile `n` that lane t of a row holds, and the columns between its two.
template <bool kCodes>
__device__ inline int resultColumn(int n, int t) {
  return kCodes ? 16 * (n / 2) + 4 * t + n % 2 : 8 * n + 2 * t;
}
template <bool kCodes>
constexpr int kResultStep = kCodes ? 2 : 1;

/// Operand `step` of q, columns 16 * step and so on of rows g and g + 8 of a warp, straight from global memory; zeros
/// for rows that are null and columns from `dim` on.
template <bool kCodes>
__device__ inline void loadQuery(uint32_t (&q)[4], int step, const uint16_t* low, const uint16_t* high, int dim) {
  const int t = threadIdx.x % 4;
  if (kCodes) {
    const int d = 16 * step + 4 * t;
    const uint2 a = low && d < dim ? *reinterpret_cast<const uint2*>(low + d) : make_uint2(0, 0);
    const uint2 b = high && d < dim ? *reinterpret_cast<const uint2*>(high + d) : make_uint2(0, 0);
    q[0] = __byte_perm(a.x, a.y, 0x5410);
    q[1] = __byte_perm(b.x, b.y, 0x5410);
    q[2] = __byte_perm(a.x, a.y, 0x7632);
    q[3] = __byte_perm(b.x, b.y, 0x7632);
    return;
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int d = 16 * step + 8 * half + 2 * t;
    q[2 * half] = low && d < dim ? *reinterpret_cast<const uint32_t*>(low + d) : 0;
    q[2 * half + 1] = high && d < dim ? *reinterpret_cast<const uint32_t*>(high + d) : 0;
  }
}

/// A warp's queries as operands: in registers, or, where results need these, in shared memory.
template <int kDim, bool kCodes>
class Query {
 public:
  static constexpr int kSteps = kDim / 16;
  static constexpr bool kShared = attentionQueryBytes(kDim) > 0;

  /// @param shared for the queries of this warp's rows, which warps of other key groups share
  /// @param writes this warp is the one that fills `shared`; a barrier makes it visible
  __device__ Query(const uint16_t* low, const uint16_t* high, int dim, uint4* shared, bool writes)
      : shared_(shared + threadIdx.x % 32) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      uint32_t(&q)[4] = operands_[kShared ? 0 : step];
      loadQuery<kCodes>(q, step, low, high, dim);
      if (kShared && writes) shared_[step * 32] = make_uint4(q[0], q[1], q[2], q[3]);
    }
  }

  __device__ void get(uint32_t (&q)[4], int step) const {
    if (kShared) {
      const uint4 four = shared_[step * 32];
      q[0] = four.x, q[1] = four.y, q[2] = four.z, q[3] = four.w;
      return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) q[i] = operands_[kShared ? 0 : step][i];
  }

 private:
  uint4* shared_;
  uint32_t operands_[kShared ? 1 : kSteps][4];
};

/// logits += q . k over a chunk of keys at `slot`.
template <int kType, int kDim, bool kCodes>
__device__ inline void multiplyKeys(float (&logits)[AttentionRing{kDim, kCodes}.keys() / 8][4],
                                    const Query<kDim, kCodes>& query, uint32_t slot) {
  constexpr int kRowBytes = AttentionRing{kDim, kCodes}.rowBytes(), kTiles = AttentionRing{kDim, kCodes}.keys() / 8;
  constexpr int kStepsPerBlock = kCodes ? 4 : 2;
  const uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (int block = 0; block < kRowBytes / 64; ++block) {
    uint32_t q[kStepsPerBlock][4];
#pragma unroll
    for (int i = 0; i < kStepsPerBlock; ++i) query.get(q[i], kStepsPerBlock * block + i);
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      uint32_t m[4];
      loadMatrices(m, slot + swizzled<kRowBytes>(8 * n + lane % 8, 4 * block + lane / 8));
#pragma unroll
      for (int i = 0; i < kStepsPerBlock; ++i) {
        uint32_t k[2];
        if (kCodes) {
          codesToPairs<kType>(m[i], k[0], k[1]);
        } else {
          k[0] = m[2 * i % 4];
          k[1] = m[(2 * i + 1) % 4];
        }
        mma16x8x16<kType>(logits[n], q[i], k);
      }
    }
  }
}

/// sums += weights . v over 16 keys from row `key` of the chunk at `slot`.
template <int kType, int kDim, bool kCodes>
__device__ inline void multiplyValues(float (&sums)[kDim / 8][4], const uint32_t (&weights)[4], uint32_t slot,
                                      int key) {
  constexpr int kRowBytes = AttentionRing{kDim, kCodes}.rowBytes();
  const uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (int block = 0; block < kRowBytes / 32; ++block) {
    uint32_t m[4];
    loadMatricesTransposed(m, slot + swizzled<kRowBytes>(key + lane % 16, 2 * block + lane / 16));
    if (kCodes) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        uint32_t even[2], odd[2];
        codesToPairs<kType>(m[2 * half], even[0], odd[0]);
        codesToPairs<kType>(m[2 * half + 1], even[1], odd[1]);
        mma16x8x16<kType>(sums[(4 * block + 2 * half) % (kDim / 8)], weights, even);
        mma16x8x16<kType>(sums[(4 * block + 2 * half + 1) % (kDim / 8)], weights, odd);
      }
    } else {
      const uint32_t first[2] = {m[0], m[1]}, second[2] = {m[2], m[3]};
      mma16x8x16<kType>(sums[2 * block], weights, first);
      mma16x8x16<kType>(sums[2 * block + 1], weights, second);
    }
  }
}

}  // namespace pw
