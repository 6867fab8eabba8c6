// SPDX-License-Identifier: Apache-2.0
/// @file From dot products to logits: scale, soft cap, ALiBi, masks.
#pragma once
#include "attention/tensor/warp_state.cuh"

namespace pw {

/// The keys that a warp's rows see, as far as that decides what to compute.
struct WarpRange {
  int end;                 // no row sees a key from here on
  int fullBegin, fullEnd;  // every row sees every key in between

  /// @param rows of the warp, `valid` of 16 of which exist
  __device__ WarpRange(const ItemMask& mask, const PackedRow* rows, int valid) {
    const int lane = threadIdx.x % kWarp;
    const bool exists = lane < valid;
    const int horizon = exists ? rows[lane].horizon : 0, start = exists ? rows[lane].start : 0;
    end = min(mask.kvEnd, __reduce_max_sync(kAllLanes, horizon));
    fullBegin = max(mask.kvBegin, __reduce_max_sync(kAllLanes, start));
    fullEnd = min(min(mask.kvEnd, mask.treeBegin), __reduce_min_sync(kAllLanes, exists ? horizon : mask.kvEnd));
    if (mask.customBits) fullEnd = fullBegin;
  }
  __device__ bool isFull(int k0, int keys) const { return k0 >= fullBegin && k0 + keys <= fullEnd; }
};

/// @param rows of the warp
/// @param scales of the chunk's keys, in shared memory, with kScaled
template <int kTiles, bool kScaled>
__device__ inline void finishLogits(float (&logits)[kTiles][4], const pw_gpu_attention_params& p, const ItemMask& mask,
                                    const WarpRange& range, const PackedRow* rows, int k0, const float* scales) {
  const int g = threadIdx.x % kWarp / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    float2 scale = make_float2(p.scale, p.scale);
    if (kScaled) {
      const float2 its = *reinterpret_cast<const float2*>(scales + 8 * n + 2 * t);
      scale.x *= its.x;
      scale.y *= its.y;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) logits[n][e] *= e % 2 ? scale.y : scale.x;
  }
  if (p.softCap > 0.0f) {
    const float inverse = 1.0f / p.softCap;
#pragma unroll
    for (auto& tile : logits)
#pragma unroll
      for (float& x : tile) x = p.softCap * hyperbolicTangent(x * inverse);
  }
  if (p.alibiSlopes) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const PackedRow& row = rows[g + 8 * r];
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int c = 0; c < 2; ++c) logits[n][2 * r + c] -= row.slope * keyDistance(mask, row, k0 + 8 * n + 2 * t + c);
    }
  }
  if (range.isFull(k0, 8 * kTiles)) return;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const uint32_t visible = visibleKeys(mask, rows[g + 8 * r], k0) >> (2 * t);
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int c = 0; c < 2; ++c)
        if (!((visible >> (8 * n + c)) & 1u)) logits[n][2 * r + c] = kNoLogit;
  }
}

}  // namespace pw
