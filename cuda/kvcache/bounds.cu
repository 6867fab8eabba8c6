// SPDX-License-Identifier: Apache-2.0
/// @file What the keys of pages lie between: a warp for each page and kv head, its lanes along the head dimension.
#include "common/kv_elements.cuh"
#include "common/reduce.cuh"
#include "pagewarp/gpu/kvcache.h"
#include "pagewarp/status.h"

namespace pw {
namespace {

constexpr int kThreads = 128;

template <int N>
__device__ void boundPage(const pw_gpu_key_bounds_params& p, int page, int tokens, int head) {
  const auto type = static_cast<pw_kv_type>(p.type);
  float* low = p.low + page * p.lowStrides[0] + head * p.lowStrides[1];
  float* high = p.high + page * p.highStrides[0] + head * p.highStrides[1];
  for (int d = static_cast<int>(threadIdx.x % kWarp) * N; d < p.headDim; d += kWarp * N) {
    float least[N], most[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      least[j] = __builtin_huge_valf();
      most[j] = -least[j];
    }
#pragma unroll 1
    for (int token = 0; token < tokens; ++token) {
      const int64_t at = page * p.poolStrides[0] + token * p.poolStrides[1] + head * p.poolStrides[2];
      const float scale =
          p.scale ? p.scale[page * p.scaleStrides[0] + token * p.scaleStrides[1] + head * p.scaleStrides[2]] : 1.0f;
      float x[N];
      loadKv(p.pool, type, at, d, p.headDim, scale, x);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        if (x[j] < least[j] || x[j] != x[j]) least[j] = x[j];
        if (x[j] > most[j] || x[j] != x[j]) most[j] = x[j];
      }
    }
    storePart(low, PW_F32, d, p.headDim, least);
    storePart(high, PW_F32, d, p.headDim, most);
  }
}

}  // namespace
}  // namespace pw

using namespace pw;

extern "C" __global__ void __launch_bounds__(kThreads)
    pw_key_bounds(const __grid_constant__ pw_gpu_key_bounds_params p) {
  const int head = static_cast<int>((blockIdx.x * kThreads + threadIdx.x) / kWarp);
  if (head >= p.kvHeads) return;
  for (int entry = static_cast<int>(blockIdx.y); entry < p.count; entry += static_cast<int>(gridDim.y)) {
    const int page = p.pages[entry * p.pageStride], tokens = p.counts[entry * p.countStride];
    if (page < 0 || page >= p.pagesInPool || tokens < 0 || tokens > p.pageSize) {
      if (page != -1 && threadIdx.x % kWarp == 0) pw_gpu_report(p.error, PW_INVALID_ARGUMENT, entry, page);
      continue;
    }
    if (p.vectors)
      boundPage<4>(p, page, tokens, head);
    else
      boundPage<2>(p, page, tokens, head);
  }
}
