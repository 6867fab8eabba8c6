// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/attention.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <limits>
#include <string>

#include "gpu/ops.h"
#include "pagewarp/gpu/attention_shape.h"
#include "pagewarp/kv_codes.h"
#include "plan/attention_fit.h"

namespace pw::gpu {
namespace {

constexpr unsigned kThreads = 128;
constexpr int kFmaRows = 16, kFmaKeys = 32;
constexpr int kMaxHeadDim = 256;
constexpr int64_t kFewRows = 64;
/// Blocks beyond this many go round again.
constexpr int64_t kMostBlocks = 1 << 20;

unsigned blocksFor(int64_t count) { return static_cast<unsigned>(std::min(count, kMostBlocks)); }

bool isMultiple(const void* p, int64_t of) { return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(of) == 0; }

/// Whether rows of the last dimension begin at multiples of `bytes`.
bool rowsAligned(const pw_tensor& t, int64_t bytes) {
  if (!isMultiple(t.data, bytes)) return false;
  for (int d = 0; d + 1 < t.rank; ++d)
    if (t.shape[d] > 1 && t.strides[d] * pw_dtype_size(t.dtype) % bytes != 0) return false;
  return true;
}

/// Whether kernels can count in 32 bits, `unit` bytes at a time, from a head's first element to its keys.
bool isWithinReach(const pw_tensor& pool, int64_t unit) {
  int64_t furthest = 0;
  for (int d = 0; d < 2; ++d)
    furthest += std::abs(pool.strides[d]) * std::max<int64_t>(pool.shape[d] - 1, 0) * pw_dtype_size(pool.dtype);
  return furthest / unit <= std::numeric_limits<int32_t>::max();
}

bool isCodes(const pw_attention_args& a) { return pw_kv_is_codes(a.cache.type); }

/// Tensor cores take q of 16 bits over a cache of the same type or of codes, where 16-byte accesses are possible.
bool hasTensorInstance(const pw_attention_args& a) {
  if (a.q.dtype == PW_F32 || (!isCodes(a) && a.cache.k.dtype != a.q.dtype)) return false;
  if (pw_kv_row_bytes(a.cache.type, a.plan.headDim) % 16 != 0) return false;
  for (const pw_tensor* pool : {&a.cache.k, &a.cache.v})
    if (!rowsAligned(*pool, 16) || !isWithinReach(*pool, 16)) return false;
  for (const pw_tensor* scale : {&a.cache.kScale, &a.cache.vScale})
    if (scale->data && !isWithinReach(*scale, sizeof(float))) return false;
  return rowsAligned(a.q, 4) && rowsAligned(a.out, 4 * pw_dtype_size(a.out.dtype));
}

/// Kernels' names say which cache, after the type of q, which is that of a cache without codes.
const char* cacheName(pw_kv_type type) {
  return type == PW_KV_I8 ? "_i8" : type == PW_KV_FP8_E4M3 ? "_f8" : type == PW_KV_I4 ? "_i4" : "";
}

pw_gpu_kv_pool poolOf(const pw_tensor& data, const pw_tensor& scale) {
  pw_gpu_kv_pool pool{};
  pool.data = data.data;
  pool.scale = static_cast<const float*>(scale.data);
  std::copy_n(data.strides, 3, pool.strides);
  if (scale.data) std::copy_n(scale.strides, 3, pool.scaleStrides);
  return pool;
}

pw_gpu_attention_out outOf(const pw_tensor& out, const pw_tensor& lse, const pw_tensor& sinks) {
  pw_gpu_attention_out o{};
  o.data = out.data;
  o.dtype = out.dtype;
  std::copy_n(out.strides, 2, o.strides);
  o.lse = static_cast<float*>(lse.data);
  if (lse.data) std::copy_n(lse.strides, 2, o.lseStrides);
  o.sinks = static_cast<const float*>(sinks.data);
  if (sinks.data) o.sinkStride = sinks.strides[0];
  return o;
}

/// Room for the next plans of a replayed command list.
size_t capacityFor(int64_t bytes) { return bytes == 0 ? 0 : std::bit_ceil(static_cast<size_t>(bytes)); }

float* partialsOf(Context& context, const pw_attention_args& a) {
  const int64_t bytes = pw_attention_workspace_bytes(a.plan.partialRows, a.plan.heads, a.plan.headDim);
  if (bytes == 0) return nullptr;
  return static_cast<float*>(a.workspace.data ? a.workspace.data : context.scratch(capacityFor(bytes)));
}

/// The wanted row tile, or the largest that fits the device: heads of 256 columns in tiles of 128 rows take more shared
/// memory than a block of sm_86, sm_89 and sm_120 can have.
int largestTile(Context& context, const Kernel& kernel, AttentionRing ring, int wanted) {
  const int most = context.properties().sharedPerBlockOptin - kernel.staticShared;
  while (wanted > 0 && attentionSharedBytes(ring, wanted) > most) --wanted;
  return wanted;
}

void launchTensor(Context& context, const pw_attention_args& a, const pw_gpu_attention_params& params) {
  const int dim = a.plan.headDim <= 64 ? 64 : a.plan.headDim <= 128 ? 128 : 256;
  const std::string type = a.q.dtype == PW_F16 ? "f16" : "bf16", name = type + cacheName(a.cache.type);
  const Kernel& kernel = context.kernel(("attention/tensor_" + name).c_str(),
                                        ("pw_attention_" + name + "_" + std::to_string(dim)).c_str());
  const AttentionRing ring{dim, pw_kv_bits(a.cache.type)};
  for (int tile = 0; tile < PW_ATTENTION_TILES; ++tile) {
    const int64_t blocks = static_cast<int64_t>(a.plan.image->tileItems[tile]) * a.plan.kvHeads;
    if (blocks == 0) continue;
    pw_gpu_attention_params tiled = params;
    tiled.items = tile;
    tiled.tile = largestTile(context, kernel, ring, tile);
    const unsigned threads = static_cast<unsigned>(attentionWarps(dim, tiled.tile)) * 32;
    const unsigned shared = static_cast<unsigned>(attentionSharedBytes(ring, tiled.tile));
    context.launch(kernel, {context.gridCapacity(blocksFor(blocks))}, {threads}, shared, tiled);
  }
  // In a captured list also where there is nothing to be cleared, so that its launches are the same for every plan.
  const int64_t rows = a.q.shape[0];
  if (a.plan.rows < rows || (rows > 1 && context.isCaptured()))
    context.launch(context.kernel("attention/merge", "pw_attention_clear"), {blocksFor(rows)}, {kThreads}, 0, params);
}

void launchFma(Context& context, const pw_attention_args& a, const pw_gpu_attention_params& params) {
  const pw_attention_plan& p = a.plan;
  const char* entry = p.headDim <= 64    ? "pw_attention_fma_64"
                      : p.headDim <= 128 ? "pw_attention_fma_128"
                                         : "pw_attention_fma_256";
  const unsigned shared = static_cast<unsigned>(kFmaRows * kPackedRowBytes +
                                                (2 * kFmaKeys + kFmaRows) * (p.headDim | 1) * int{sizeof(float)});
  // Of few rows, as steps have that are captured, all plans have the same grid: surplus blocks end at once.
  int64_t rows = a.q.shape[0];
  if (rows > kFewRows) {
    rows = 1;
    for (int32_t i = 0; i < p.itemCount; ++i) rows = std::max<int64_t>(rows, p.items[i].rows);
  }
  const int64_t rowBlocks = (rows * (p.heads / p.kvHeads) + kFmaRows - 1) / kFmaRows;
  const int64_t count = std::max<int64_t>(1, static_cast<int64_t>(p.itemCount) * p.kvHeads);
  context.launch(context.kernel("attention/fma", entry),
                 {context.gridCapacity(blocksFor(count)), static_cast<unsigned>(std::min<int64_t>(rowBlocks, 256))},
                 {kThreads}, shared, params);
}

void merge(Context& context, const pw_attention_args& a, const pw_gpu_attention_params& params) {
  const pw_attention_plan& p = a.plan;
  if (p.mergeCount == 0) return;
  pw_gpu_attention_merge_params merge{};
  merge.image = params.image;
  merge.partials = params.partials;
  merge.out = params.out;
  merge.headDim = p.headDim;
  merge.heads = pw_gpu_make_divisor(static_cast<uint32_t>(p.heads));
  constexpr int64_t kWarps = kThreads / 32;
  const int64_t states = static_cast<int64_t>(p.mergeRows) * p.heads;
  context.launch(context.kernel("attention/merge", "pw_attention_join"),
                 {context.gridCapacity(blocksFor(p.mergeCount)),
                  std::bit_ceil(static_cast<unsigned>(std::min<int64_t>((states + kWarps - 1) / kWarps, 1024)))},
                 {kThreads}, 0, merge);
}

}  // namespace

void attention(Context& context, const pw_attention_args& a) {
  const pw_attention_plan& p = a.plan;
  const std::string problem = planMisfit(a);
  if (!problem.empty()) throw Error(PW_STALE_PLAN, problem);
  if (p.headDim > kMaxHeadDim)
    throw Error(PW_UNSUPPORTED, "attention on CUDA takes head dimensions up to " + std::to_string(kMaxHeadDim) +
                                    ", but got " + std::to_string(p.headDim));
  if (a.q.shape[0] == 0) return;
  pw_gpu_attention_params params{};
  params.image = static_cast<const pw_attention_image*>(
      context.uploadOnce(p.id, p.image, static_cast<size_t>(p.imageBytes), capacityFor(2 * p.imageBytes)));
  params.q = a.q.data;
  std::copy_n(a.q.strides, 2, params.qStrides);
  params.k = poolOf(a.cache.k, a.cache.kScale);
  params.v = poolOf(a.cache.v, a.cache.vScale);
  params.out = outOf(a.out, a.lse, a.sinks);
  params.partials = partialsOf(context, a);
  params.alibiSlopes = static_cast<const float*>(a.alibiSlopes.data);
  if (a.alibiSlopes.data) params.slopeStride = a.alibiSlopes.strides[0];
  params.clearEnd = static_cast<int32_t>(a.q.shape[0]);
  params.scale = a.scale;
  params.softCap = a.softCap;
  params.heads = p.heads;
  params.headDim = p.headDim;
  params.qType = a.q.dtype;
  params.cacheType = a.cache.type;
  params.kvHeads = pw_gpu_make_divisor(static_cast<uint32_t>(p.kvHeads));
  params.group = pw_gpu_make_divisor(static_cast<uint32_t>(p.heads / p.kvHeads));
  params.pageSize = pw_gpu_make_divisor(static_cast<uint32_t>(p.pageSize));
  if (hasTensorInstance(a))
    launchTensor(context, a, params);
  else
    launchFma(context, a, params);
  merge(context, a, params);
}

void mergeStates(Context& context, const pw_merge_states_args& a) {
  pw_gpu_merge_states_params params{};
  params.outs = a.outs.data;
  params.lses = static_cast<const float*>(a.lses.data);
  std::copy_n(a.outs.strides, 3, params.outStrides);
  std::copy_n(a.lses.strides, 3, params.lseStrides);
  params.out = outOf(a.out, a.lse, {});
  params.parts = static_cast<int32_t>(a.outs.shape[0]);
  params.rows = static_cast<int32_t>(a.outs.shape[1]);
  params.headDim = static_cast<int32_t>(a.outs.shape[3]);
  params.dtype = a.outs.dtype;
  const int64_t heads = a.outs.shape[2];
  if (params.rows == 0 || heads == 0) return;
  params.heads = pw_gpu_make_divisor(static_cast<uint32_t>(heads));
  constexpr int64_t kWarps = kThreads / 32;
  context.launch(context.kernel("attention/merge", "pw_merge_states"),
                 {blocksFor((params.rows * heads + kWarps - 1) / kWarps)}, {kThreads}, 0, params);
}

}  // namespace pw::gpu
