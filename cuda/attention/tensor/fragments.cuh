// SPDX-License-Identifier: Apache-2.0
/// @file Operands of the tensor cores. Lane l = 4 g + t; see mma16x8x16 for what a lane holds of each.
///
/// Codes come from shared memory as if 2 or 4 of them were one 16-bit element, so a lane gets that many times the
/// neighbouring columns. Columns of q and of the result are numbered accordingly: a sum over columns may take them in
/// any order, if both operands take the same.
#pragma once
#include "attention/tensor/codes.cuh"
#include "common/ldmatrix.cuh"
#include "common/mma.cuh"
#include "common/swizzle.cuh"
#include "pagewarp/gpu/attention_shape.h"

namespace pw {

/// Column of the first element of result tile `n` that lane t of a row holds, and the columns between its two.
template <int kBits>
__device__ inline int resultColumn(int n, int t) {
  constexpr int kPacked = 16 / kBits;
  return 8 * kPacked * (n / kPacked) + 2 * kPacked * t + n % kPacked;
}
template <int kBits>
constexpr int kResultStep = 16 / kBits;

/// Operand `step` of q, 16 columns of rows g and g + 8 of a warp, straight from global memory; zeros for rows that are
/// null and columns from `dim` on.
template <int kBits>
__device__ inline void loadQuery(uint32_t (&q)[4], int step, const uint16_t* low, const uint16_t* high, int dim) {
  const int t = threadIdx.x % 4;
  // Columns d and d + 1, and so many further the operand's other two.
  const int d = kBits == 16  ? 16 * step + 2 * t
                : kBits == 8 ? 16 * step + 4 * t
                             : 32 * (step / 2) + 8 * t + step % 2 * 2;
  constexpr int kFurther = kBits == 16 ? 8 : kBits == 8 ? 2 : 4;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint16_t* row = i == 0 ? low : high;
    const uint32_t first = row && d < dim ? *reinterpret_cast<const uint32_t*>(row + d) : 0;
    const uint32_t second = row && d + kFurther < dim ? *reinterpret_cast<const uint32_t*>(row + d + kFurther) : 0;
    // A pair of codes is as far apart as they are packed: column by column, not word by word.
    q[i] = kBits == 16 ? first : __byte_perm(first, second, 0x5410);
    q[2 + i] = kBits == 16 ? second : __byte_perm(first, second, 0x7632);
  }
}

/// A warp's queries as operands: in registers, or, where results need these, in shared memory.
template <int kDim, int kBits>
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
      loadQuery<kBits>(q, step, low, high, dim);
      if (kShared && writes) shared_[step * 32] = make_uint4(q[0], q[1], q[2], q[3]);
    }
  }

  __device__ void get(uint32_t (&q)[4], int step) const {
    if constexpr (kShared) {
      const uint4 four = shared_[step * 32];
      q[0] = four.x, q[1] = four.y, q[2] = four.z, q[3] = four.w;
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) q[i] = operands_[step][i];
    }
  }

 private:
  uint4* shared_;
  uint32_t operands_[kShared ? 1 : kSteps][4];
};

/// logits += q . k over a chunk of keys at `slot`.
template <int kType, pw_kv_type kCache, int kDim>
__device__ inline void multiplyKeys(float (&logits)[AttentionRing{kDim, pw_kv_bits(kCache)}.keys() / 8][4],
                                    const Query<kDim, pw_kv_bits(kCache)>& query, uint32_t slot) {
  constexpr AttentionRing kRing{kDim, pw_kv_bits(kCache)};
  constexpr int kRowBytes = kRing.rowBytes(), kTiles = kRing.keys() / 8, kPacked = kPack<kCache>;
  // Four matrices at a time, of 8 keys and 16 bytes each: as many columns as there are registers for operands of q.
  constexpr int kColumns = kPacked == 4 ? 2 : 4, kTilesAtOnce = 4 / kColumns, kSteps = kColumns * kPacked / 2;
  const uint32_t lane = threadIdx.x % 32, row = lane / 8 / kColumns * 8 + lane % 8, column = lane / 8 % kColumns;
  // Where sums leave few registers for operands that come early, no more than two blocks are under way.
  constexpr int kBlocks = kRowBytes / (16 * kColumns);
#pragma unroll(Query <kDim, pw_kv_bits(kCache)>::kShared ? 2 : kBlocks)
  for (int block = 0; block < kBlocks; ++block) {
    uint32_t q[kSteps][4];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) query.get(q[i], kSteps * block + i);
#pragma unroll
    for (int n = 0; n < kTiles; n += kTilesAtOnce) {
      uint32_t m[4], k[4][kPacked];
      loadMatrices(m, slot + swizzled<kRowBytes>(8 * n + row, kColumns * block + column));
#pragma unroll
      for (int i = 0; i < 4; ++i) expand<kType, kCache>(m[i], k[i]);
#pragma unroll
      for (int i = 0; i < kTilesAtOnce * kSteps; ++i) {
        const int first = 2 * i, second = 2 * i + 1;
        const uint32_t two[2] = {k[first / kPacked][first % kPacked], k[second / kPacked][second % kPacked]};
        mma16x8x16<kType>(logits[n + i / kSteps], q[i % kSteps], two);
      }
    }
  }
}

/// sums += weights . v over 16 keys from row `key` of the chunk at `slot`.
template <int kType, pw_kv_type kCache, int kDim>
__device__ inline void multiplyValues(float (&sums)[kDim / 8][4], const uint32_t (&weights)[4], uint32_t slot,
                                      int key) {
  constexpr int kRowBytes = AttentionRing{kDim, pw_kv_bits(kCache)}.rowBytes(), kPacked = kPack<kCache>;
  const uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (int block = 0; block < kRowBytes / 32; ++block) {
    uint32_t m[4];
    loadMatricesTransposed(m, slot + swizzled<kRowBytes>(key + lane % 16, 2 * block + lane / 16));
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t low[kPacked], high[kPacked];
      expand<kType, kCache>(m[2 * half], low);
      expand<kType, kCache>(m[2 * half + 1], high);
#pragma unroll
      for (int i = 0; i < kPacked; ++i) {
        const uint32_t two[2] = {low[i], high[i]};
        mma16x8x16<kType>(sums[(2 * block + half) * kPacked + i], weights, two);
      }
    }
  }
}

}  // namespace pw
