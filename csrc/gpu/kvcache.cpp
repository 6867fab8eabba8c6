// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/kvcache.h"

#include <algorithm>

#include "gpu/ops.h"
#include "gpu/rotation.h"

namespace pw::gpu {
namespace {

constexpr unsigned kThreads = 128;

/// Whether every four elements from a multiple of four on begin at a multiple of their size.
bool inFours(const pw_tensor& t) {
  const int64_t size = pw_dtype_size(t.dtype);
  if (reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(4 * size) != 0) return false;
  for (int d = 0; d + 1 < t.rank; ++d)
    if (t.shape[d] > 1 && t.strides[d] % 4 != 0) return false;
  return t.shape[t.rank - 1] % 4 == 0;
}

pw_gpu_kv_tokens tokensOf(const pw_tensor& tokens, pw_kv_type type, const pw_tensor& pool, const pw_tensor& scale) {
  pw_gpu_kv_tokens t{};
  t.pool = pool.data;
  t.poolType = type;
  std::copy_n(pool.strides, 3, t.poolStrides);
  t.scale = static_cast<float*>(scale.data);
  if (scale.data) std::copy_n(scale.strides, 3, t.scaleStrides);
  t.tokens = tokens.data;
  t.tokenType = tokens.dtype;
  std::copy_n(tokens.strides, 2, t.tokenStrides);
  return t;
}

pw_gpu_kv_rows_params kvRowsOf(Context& context, const pw_tensor& k, const pw_tensor& v, const pw_tensor& slots,
                               const pw_kv_layer& cache) {
  pw_gpu_kv_rows_params params{};
  params.k = tokensOf(k, cache.type, cache.k, cache.kScale);
  params.v = tokensOf(v, cache.type, cache.v, cache.vScale);
  params.slots = slots.data;
  params.slotStride = slots.strides[0];
  params.slotsAre64 = slots.dtype == PW_I64;
  params.slotCount = cache.k.shape[0] * cache.k.shape[1];
  params.rows = static_cast<int32_t>(k.shape[0]);
  params.headDim = static_cast<int32_t>(k.shape[2]);
  params.pageSize = static_cast<int32_t>(cache.k.shape[1]);
  params.vectors = inFours(k) && inFours(v) && inFours(cache.k) && inFours(cache.v);
  params.kvHeads = static_cast<int32_t>(k.shape[1]);
  params.error = context.errorWord();
  return params;
}

/// A warp for each of so many tasks of every row.
Dim3 gridOf(int64_t rows, int64_t tasks) {
  constexpr int64_t kMostRows = 65535;  // further ones come in the next round
  return {static_cast<unsigned>(divideUp(tasks, kThreads / 32)), static_cast<unsigned>(std::min(rows, kMostRows))};
}

/// A pool of [layers, pages, pageSize, kvHeads(, headDim)]; heads that lie side by side count as one.
pw_gpu_kv_pool_bytes poolBytes(const pw_tensor& pool) {
  const int64_t size = pw_dtype_size(pool.dtype);
  pw_gpu_kv_pool_bytes p{};
  p.data = static_cast<char*>(pool.data);
  p.layerStride = pool.strides[0] * size;
  p.pageStride = pool.strides[1] * size;
  p.slotStride = pool.strides[2] * size;
  p.headStride = pool.strides[3] * size;
  p.heads = static_cast<int32_t>(pool.shape[3]);
  p.rowBytes = static_cast<int32_t>((pool.rank == 5 ? pool.shape[4] : 1) * size);
  if (p.headStride == p.rowBytes || p.heads == 1) {
    p.rowBytes *= p.heads;
    p.heads = 1;
  }
  return p;
}

/// The widest words that divide all of a pool's addresses.
int wordBytes(const pw_gpu_kv_pool_bytes& p) {
  const int64_t all = static_cast<int64_t>(reinterpret_cast<uintptr_t>(p.data)) | p.layerStride | p.pageStride |
                      p.slotStride | (p.heads > 1 ? p.headStride : 0) | p.rowBytes;
  return all % 16 == 0 ? 16 : all % 4 == 0 ? 4 : 1;
}

/// One launch for all pools that are copied in words of the same width.
void launchMoves(Context& context, const std::string& entry, const pw_kv_pools& cache, unsigned depth,
                 pw_gpu_kv_moves_params params) {
  params.layers = static_cast<int32_t>(cache.pools[0].shape[0]);
  params.pageSize = static_cast<int32_t>(cache.pools[0].shape[2]);
  for (const int width : {16, 4, 1}) {
    params.poolCount = 0;
    int words = 0;
    for (int32_t i = 0; i < cache.count; ++i) {
      const pw_gpu_kv_pool_bytes pool = poolBytes(cache.pools[i]);
      if (wordBytes(pool) != width) continue;
      params.pools[params.poolCount++] = pool;
      words = std::max(words, pool.heads * (pool.rowBytes / width));
    }
    const unsigned across = (static_cast<unsigned>(words) + kThreads - 1) / kThreads;
    const unsigned pools = static_cast<unsigned>(params.poolCount * params.layers);
    context.launch(context.kernel("kvcache/moves", (entry + std::to_string(width)).c_str()), {across, pools, depth},
                   {kThreads}, 0, params);
  }
}

}  // namespace

void appendKv(Context& context, const pw_append_kv_args& a) {
  context.launch(context.kernel("kvcache/tokens", "pw_append_kv"), gridOf(a.k.shape[0], a.k.shape[1] * 2), {kThreads},
                 0, kvRowsOf(context, a.k, a.v, a.slots, a.cache));
}

void ropeAppendKv(Context& context, const pw_rope_append_kv_args& a) {
  const pw_append_kv_args& to = a.append;
  pw_gpu_rope_append_params params{};
  params.append = kvRowsOf(context, to.k, to.v, to.slots, to.cache);
  params.keyRotation = rotationOf(to.k, to.k, a.table, a.pairing);
  params.append.vectors &= params.keyRotation.aligned;
  if (a.q.data) {
    params.q = headsOf(a.q);
    params.qOut = headsOf(a.q_out);
    params.rotation = rotationOf(a.q, a.q_out, a.table, a.pairing);
    params.heads = static_cast<int32_t>(a.q.shape[1]);
  }
  context.launch(context.kernel("kvcache/tokens", "pw_rope_append_kv"),
                 gridOf(to.k.shape[0], to.k.shape[1] * 2 + params.heads), {kThreads}, 0, params);
}

void gatherKv(Context& context, const pw_gather_kv_args& a) {
  context.launch(context.kernel("kvcache/tokens", "pw_gather_kv"), gridOf(a.k.shape[0], a.k.shape[1] * 2), {kThreads},
                 0, kvRowsOf(context, a.k, a.v, a.slots, a.cache));
}

void keyBounds(Context& context, const pw_key_bounds_args& a) {
  const pw_tensor &k = a.cache.k, &scale = a.cache.kScale;
  pw_gpu_key_bounds_params params{};
  params.pool = k.data;
  std::copy_n(k.strides, 3, params.poolStrides);
  params.scale = static_cast<const float*>(scale.data);
  if (scale.data) std::copy_n(scale.strides, 3, params.scaleStrides);
  params.type = a.cache.type;
  params.pages = static_cast<const int32_t*>(a.pages.data);
  params.counts = static_cast<const int32_t*>(a.counts.data);
  params.pageStride = a.pages.strides[0];
  params.countStride = a.counts.strides[0];
  params.low = static_cast<float*>(a.low.data);
  params.high = static_cast<float*>(a.high.data);
  std::copy_n(a.low.strides, 2, params.lowStrides);
  std::copy_n(a.high.strides, 2, params.highStrides);
  params.count = static_cast<int32_t>(a.pages.shape[0]);
  params.headDim = static_cast<int32_t>(a.low.shape[2]);
  params.pageSize = static_cast<int32_t>(k.shape[1]);
  params.pagesInPool = static_cast<int32_t>(k.shape[0]);
  params.vectors = inFours(k);
  params.kvHeads = static_cast<int32_t>(k.shape[2]);
  params.error = context.errorWord();
  context.launch(context.kernel("kvcache/bounds", "pw_key_bounds"), gridOf(a.pages.shape[0], k.shape[2]), {kThreads}, 0,
                 params);
}

void copyPages(Context& context, const pw_copy_pages_args& a) {
  if (a.count == 0) return;
  pw_gpu_kv_moves_params params{};
  const size_t bytes = static_cast<size_t>(a.count) * sizeof(int32_t);
  params.from = context.upload(a.from, bytes);
  params.to = context.upload(a.to, bytes);
  params.count = a.count;
  launchMoves(context, "pw_copy_pages_", a.cache, static_cast<unsigned>(std::min(a.count, 1024)), params);
}

void moveSlots(Context& context, const pw_move_slots_args& a) {
  if (a.count == 0) return;
  pw_gpu_kv_moves_params params{};
  const size_t bytes = static_cast<size_t>(a.count) * sizeof(int64_t);
  params.from = context.upload(a.from, bytes);
  params.to = context.upload(a.to, bytes);
  params.count = a.count;
  launchMoves(context, "pw_move_slots_", a.cache, 1, params);
}

}  // namespace pw::gpu
