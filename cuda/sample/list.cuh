// SPDX-License-Identifier: Apache-2.0
/// @file The first tokens of a row in the total order, found while the row is read.
#pragma once
#include "sample/request.cuh"

namespace pw {
namespace sampling {

constexpr int kCandidates = 2048;  ///< tokens that are told apart exactly
constexpr int kListed = 512;       ///< at least so many first tokens are listed, if there are as many
static_assert(kMostListed <= kCandidates / 2, "a list is shortened when it is full, to make room");

/// Weight and number of the tokens above each of three logits.
struct Above {
  double weight[3];
  int count[3];
};

struct Shared {
  uint64_t ranks[kCandidates];
  float inOrder[kBlock];  ///< weights of one block of tokens
  float weights[kWarp][3];
  int counts[kWarp][3];
  Above above;
  uint64_t best[kWarp];
  float low[kWarp];
  int finite[kWarp], bad[kWarp];
  double left;
  int count, index;
};

/// Sorts the first `count` of shared.ranks, largest first. Begins and ends with a barrier.
__device__ __noinline__ inline void sortRanks(int count, Shared& shared) {
  __syncthreads();
  int size = 1;
  while (size < count) size *= 2;
  for (int i = count + static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) shared.ranks[i] = 0;
  // Bitonic sort.
  for (int run = 2; run <= size; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
        const int other = i ^ distance;
        if (other < i) continue;
        const uint64_t a = shared.ranks[i], b = shared.ranks[other];
        if ((a < b) != ((i & run) == 0)) continue;
        shared.ranks[i] = b;
        shared.ranks[other] = a;
      }
    }
  }
  __syncthreads();
}

/// Keeps the first tokens of a row in shared.ranks as its blocks come by. A token enters when it comes before the last
/// of those that are surely wanted; when the list is full it is sorted and shortened to these.
class CandidateList {
 public:
  /// @param wanted at most kMostListed
  __device__ CandidateList(int wanted, Shared& shared) : shared_(shared), kept_(max(wanted, kListed)), least_(0) {
    if (threadIdx.x == 0) shared.count = 0;
    __syncthreads();
  }

  /// This lane's logits of a block, by all threads in step; those of no token are -inf.
  __device__ void take(const float (&x)[kPerLane], int block) {
    const auto rank = [&](int j) { return rankOf(x[j], block * kBlock + placeInBlock(j)); };
    uint32_t pending = 0;
#pragma unroll
    for (int j = 0; j < kPerLane; ++j)
      if (x[j] > -CUDART_INF_F && rank(j) > least_) pending |= 1u << j;
    while (__syncthreads_or(static_cast<int>(pending)) != 0) {
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) {
        if ((pending >> j & 1) == 0) continue;
        const int at = atomicAdd(&shared_.count, 1);
        if (at >= kCandidates) continue;
        shared_.ranks[at] = rank(j);
        pending &= ~(1u << j);
      }
      __syncthreads();
      if (shared_.count <= kCandidates) return;
      sortRanks(kCandidates, shared_);
      least_ = shared_.ranks[kept_ - 1];
      if (threadIdx.x == 0) shared_.count = kept_;
#pragma unroll
      for (int j = 0; j < kPerLane; ++j)
        if (!(rank(j) > least_)) pending &= ~(1u << j);
    }
  }

  /// Puts the list in order.
  /// @returns its length: all finite logits, or at least as many as were wanted
  __device__ int finish() {
    __syncthreads();
    const int held = shared_.count;
    sortRanks(held, shared_);
    return least_ == 0 ? held : min(held, kept_);
  }

 private:
  Shared& shared_;
  const int kept_;
  uint64_t least_;  ///< only ranks above it may still be wanted
};

}  // namespace sampling
}  // namespace pw
