// SPDX-License-Identifier: Apache-2.0
/// @file Tokens from slot to slot within the cache, whatever its type: bytes are copied.
#include "pagewarp/gpu/kvcache.h"

namespace pw {
namespace {

constexpr int kThreads = 128;

/// Runs body(pool, byte offset within a slot's heads) for all slices of a slot's data, a thread each: blockIdx.y is
/// layer times pools, blockIdx.x with the threads goes over heads and words.
template <class Word, class Body>
__device__ void forEachWord(const pw_gpu_kv_moves_params& p, Body&& body) {
  const pw_gpu_kv_pool_bytes& pool = p.pools[blockIdx.y % p.poolCount];
  char* layer = pool.data + blockIdx.y / p.poolCount * pool.layerStride;
  const int words = pool.rowBytes / static_cast<int>(sizeof(Word)), count = words * pool.heads;
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads)
    body(pool, layer + i / words * pool.headStride + i % words * static_cast<int>(sizeof(Word)));
}

template <class Word>
__device__ inline Word* wordAt(char* base, const pw_gpu_kv_pool_bytes& pool, int64_t page, int64_t offset) {
  return reinterpret_cast<Word*>(base + page * pool.pageStride + offset * pool.slotStride);
}

/// Pages blockIdx.z, and so on.
template <class Word>
__device__ void copyPages(const pw_gpu_kv_moves_params& p) {
  const int32_t* from = static_cast<const int32_t*>(p.from);
  const int32_t* to = static_cast<const int32_t*>(p.to);
  forEachWord<Word>(p, [&](const pw_gpu_kv_pool_bytes& pool, char* base) {
    for (int i = blockIdx.z; i < p.count; i += gridDim.z) {
#pragma unroll 4
      for (int offset = 0; offset < p.pageSize; ++offset)
        *wordAt<Word>(base, pool, to[i], offset) = *wordAt<Word>(base, pool, from[i], offset);
    }
  });
}

/// A thread makes all moves of its word, so that they happen in order. No source is a target of an earlier move:
/// sources may be read ahead.
template <class Word>
__device__ void moveSlots(const pw_gpu_kv_moves_params& p) {
  const int64_t* from = static_cast<const int64_t*>(p.from);
  const int64_t* to = static_cast<const int64_t*>(p.to);
  constexpr int kAhead = 4;
  forEachWord<Word>(p, [&](const pw_gpu_kv_pool_bytes& pool, char* base) {
    const auto at = [&](int64_t slot) { return wordAt<Word>(base, pool, slot / p.pageSize, slot % p.pageSize); };
    for (int i = 0; i < p.count; i += kAhead) {
      Word words[kAhead];
#pragma unroll
      for (int j = 0; j < kAhead; ++j)
        if (i + j < p.count) words[j] = *at(from[i + j]);
#pragma unroll
      for (int j = 0; j < kAhead; ++j)
        if (i + j < p.count) *at(to[i + j]) = words[j];
    }
  });
}

}  // namespace
}  // namespace pw

using namespace pw;

#define PW_MOVES(name, word)                                                   \
  extern "C" __global__ void __launch_bounds__(kThreads)                       \
      pw_copy_pages_##name(const __grid_constant__ pw_gpu_kv_moves_params p) { \
    copyPages<word>(p);                                                        \
  }                                                                            \
  extern "C" __global__ void __launch_bounds__(kThreads)                       \
      pw_move_slots_##name(const __grid_constant__ pw_gpu_kv_moves_params p) { \
    moveSlots<word>(p);                                                        \
  }

PW_MOVES(16, uint4)
PW_MOVES(4, uint32_t)
PW_MOVES(1, uint8_t)
