// SPDX-License-Identifier: Apache-2.0
/// @file Values that are not finite, on tensor cores.
///
/// There a value that a row does not see meets a weight of 0, and 0 times NaN or infinity is NaN. So when a block's
/// sums are not all finite, they are made again in parts: which rows see a value that counts as positive infinity,
/// which see one that counts as negative (NaN counts as both), and the sum of the finite values. This is rare: nothing
/// in the main loop is there for it, but a branch for every chunk of keys.
#pragma once
#include "attention/tensor/warp_state.cuh"

namespace pw {

enum ValuePart { kAllValues, kPositiveInfinities, kNegativeInfinities, kFiniteValues };

__device__ inline bool isInfinities(ValuePart part) {
  return part == kPositiveInfinities || part == kNegativeInfinities;
}

/// Two values of type kType: those of the part remain, infinities as ones.
template <int kType>
__device__ inline uint32_t keepPart(uint32_t pair, ValuePart part) {
  constexpr uint32_t kInfinity = kType == PW_F16 ? 0x7c00u : 0x7f80u, kOne = kType == PW_F16 ? 0x3c00u : 0x3f80u;
  uint32_t kept = 0;
#pragma unroll
  for (int shift = 0; shift < 32; shift += 16) {
    const uint32_t bits = (pair >> shift) & 0xffffu, magnitude = bits & 0x7fffu, sign = bits >> 15;
    const bool counts = magnitude > kInfinity || (magnitude == kInfinity && sign == (part == kNegativeInfinities));
    const uint32_t one = counts ? kOne : 0u, finite = magnitude < kInfinity ? bits : 0u;
    kept |= (isInfinities(part) ? one : finite) << shift;
  }
  return kept;
}

/// For infinities every weight counts alike.
template <int kTiles>
__device__ inline void weightsAsOnes(float (&weights)[kTiles][4]) {
#pragma unroll
  for (auto& tile : weights)
#pragma unroll
    for (float& w : tile) w = w == 0.0f ? 0.0f : 1.0f;
}

/// Which of a warp's sums have infinities in them, a bit each, in shared memory: the lane's words are kWarp apart.
template <int kDim>
class InfinityMarks {
 public:
  static constexpr int kWords = kDim / 64;
  static_assert(attentionMarkBytes({kDim, 16}) == 2 * kWords * kWarp * 4, "attentionSharedBytes counts marks");

  __device__ explicit InfinityMarks(char* shared) : words_(reinterpret_cast<uint32_t*>(shared) + threadIdx.x % kWarp) {}

  __device__ void write(ValuePart part, const WarpState<kDim>& counts) {
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      uint32_t bits = 0;
#pragma unroll
      for (int i = 0; i < 32; ++i) bits |= (counts.sums[8 * w + i / 4][i % 4] != 0.0f ? 1u : 0u) << i;
      words_[(at(part) + w) * kWarp] = bits;
    }
  }

  __device__ void add(WarpState<kDim>& state) const {
    const float infinity = __builtin_huge_valf();
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      const uint32_t positive = words_[w * kWarp], negative = words_[(kWords + w) * kWarp];
#pragma unroll
      for (int i = 0; i < 32; ++i) {
        float& sum = state.sums[8 * w + i / 4][i % 4];
        if ((positive >> i) & 1u) sum += infinity;
        if ((negative >> i) & 1u) sum -= infinity;
      }
    }
  }

 private:
  __device__ static int at(ValuePart part) { return part == kPositiveInfinities ? 0 : kWords; }

  uint32_t* const words_;
};

}  // namespace pw
