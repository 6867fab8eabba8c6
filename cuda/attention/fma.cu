// SPDX-License-Identifier: Apache-2.0
/// @file Attention in f32 arithmetic throughout, for f32 queries and for shapes that tensor cores have no instance for:
/// any mix of types, any head dimension up to 256, any alignment.
///
/// A block takes 16 packed rows of an item, 4 a warp. 32 keys and values at a time are converted into shared memory;
/// then each lane scores one key, and sums up the values in the columns that it has.
#include "attention/finish.cuh"
#include "attention/packed_rows.cuh"
#include "common/kv_elements.cuh"

namespace pw {
namespace {

constexpr int kWarps = 4, kRowsPerWarp = 4, kTileRows = kWarps * kRowsPerWarp, kThreads = kWarps * kWarp;
constexpr int kKeys = kWarp;

/// Rows are padded to an odd length, so that lanes which read one column of 32 rows use 32 banks.
__device__ inline int paddedRow(int dim) { return dim | 1; }

struct Shared {
  float* k;
  float* v;
  float* q;
  PackedRow* rows;

  __device__ Shared(char* base, int dim) {
    const int stride = paddedRow(dim);
    rows = reinterpret_cast<PackedRow*>(base);
    k = reinterpret_cast<float*>(rows + kTileRows);
    v = k + kKeys * stride;
    q = v + kKeys * stride;
  }
};

__device__ void loadQueries(const pw_gpu_attention_params& p, int valid, const Shared& s) {
  const int stride = paddedRow(p.headDim);
  for (int i = threadIdx.x / kWarp; i < kTileRows; i += kWarps) {
    const PackedRow& r = s.rows[i];
    const int64_t at = r.row * p.qStrides[0] + r.head * p.qStrides[1];
    for (int d = threadIdx.x % kWarp; d < p.headDim; d += kWarp)
      s.q[i * stride + d] = i < valid ? loadFloat(p.q, p.qType, at + d) * p.scale : 0.0f;
  }
}

/// One row of a pool into shared memory, by a warp.
__device__ inline void loadRow(const pw_gpu_kv_pool& pool, pw_kv_type type, int page, int slot, int head, int dim,
                               float* to) {
  const int lane = threadIdx.x % kWarp;
  if (page < 0) {
    for (int d = lane; d < dim; d += kWarp) to[d] = 0.0f;
    return;
  }
  const int64_t at = page * pool.strides[0] + slot * pool.strides[1] + head * pool.strides[2];
  if (!pw_kv_is_codes(type)) {
    for (int d = lane; d < dim; d += kWarp) to[d] = loadFloat(pool.data, type, at + d);
    return;
  }
  const float scale =
      pool.scale[page * pool.scaleStrides[0] + slot * pool.scaleStrides[1] + head * pool.scaleStrides[2]];
  const uint8_t* codes = static_cast<const uint8_t*>(pool.data) + at;
  for (int d = lane; d < dim; d += kWarp) to[d] = pw_kv_decode(type, codes, d) * scale;
}

/// Keys k0 to k0 + 31 of an item and their values; zeros for those that it does not visit.
__device__ void loadKeys(const pw_gpu_attention_params& p, const pw_attention_item& item, int kvHead, int k0,
                         const Shared& s) {
  const int lane = threadIdx.x % kWarp, stride = paddedRow(p.headDim), key = k0 + lane;
  const int entry = quotient(key, p.pageSize), slot = remainder(key, entry, p.pageSize);
  const bool visited = key >= item.kvBegin && key < item.kvEnd && !(key >= item.skipBegin && key < item.skipEnd);
  const int page = visited ? planArray<int32_t>(p.image, p.image->pagesAt)[item.pageBegin + entry] : -1;
  const auto type = static_cast<pw_kv_type>(p.cacheType);
  for (int i = threadIdx.x / kWarp; i < kKeys; i += kWarps) {
    const int itsPage = __shfl_sync(kAllLanes, page, i), itsSlot = __shfl_sync(kAllLanes, slot, i);
    loadRow(p.k, type, itsPage, itsSlot, kvHead, p.headDim, s.k + i * stride);
    loadRow(p.v, type, itsPage, itsSlot, kvHead, p.headDim, s.v + i * stride);
  }
}

template <int kColumns>
struct WarpRows {
  float sum[kRowsPerWarp][kColumns] = {};
  float top[kRowsPerWarp], denominator[kRowsPerWarp] = {};

  __device__ WarpRows() {
    for (float& t : top) t = kNoLogit;
  }
};

/// The lane's key against the warp's rows: weights in `weight`, sums rescaled to the new maxima.
template <int kColumns>
__device__ void scoreKeys(const pw_gpu_attention_params& p, const ItemMask& mask, int k0, const Shared& s,
                          WarpRows<kColumns>& rows, float (&weight)[kRowsPerWarp]) {
  const int lane = threadIdx.x % kWarp, first = threadIdx.x / kWarp * kRowsPerWarp, stride = paddedRow(p.headDim);
  float logit[kRowsPerWarp] = {};
  for (int d = 0; d < p.headDim; ++d) {
    const float key = s.k[lane * stride + d];
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) logit[r] = fmaf(s.q[(first + r) * stride + d], key, logit[r]);
  }
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    const PackedRow& row = s.rows[first + r];
    if (p.softCap > 0.0f) logit[r] = p.softCap * tanhf(logit[r] / p.softCap);
    if (p.alibiSlopes) logit[r] -= row.slope * keyDistance(mask, row, k0 + lane);
    if (!((visibleKeys(mask, row, k0) >> lane) & 1u)) logit[r] = kNoLogit;
    const float top = fmaxf(rows.top[r], reduceWarp(logit[r], [](float a, float b) { return fmaxf(a, b); }));
    const float base = top == kNoLogit ? 0.0f : top;
    weight[r] = expf(logit[r] - base);
    const float rescale = expf(rows.top[r] - base);
    rows.top[r] = top;
    rows.denominator[r] = rows.denominator[r] * rescale + reduceWarp(weight[r], Sum());
#pragma unroll
    for (int c = 0; c < kColumns; ++c) rows.sum[r][c] *= rescale;
  }
}

template <int kColumns>
__device__ void addValues(const pw_gpu_attention_params& p, const Shared& s, const float (&weight)[kRowsPerWarp],
                          WarpRows<kColumns>& rows) {
  const int lane = threadIdx.x % kWarp, stride = paddedRow(p.headDim);
  for (int key = 0; key < kKeys; ++key) {
    float value[kColumns];
#pragma unroll
    for (int c = 0; c < kColumns; ++c)
      value[c] = lane + c * kWarp < p.headDim ? s.v[key * stride + lane + c * kWarp] : 0.0f;
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) {
      const float w = __shfl_sync(kAllLanes, weight[r], key);
      if (w == 0.0f) continue;  // a hidden key's value may be anything
#pragma unroll
      for (int c = 0; c < kColumns; ++c) rows.sum[r][c] = fmaf(w, value[c], rows.sum[r][c]);
    }
  }
}

template <int kColumns>
__device__ void writeRows(const pw_gpu_attention_params& p, const pw_attention_item& item, int valid, const Shared& s,
                          const WarpRows<kColumns>& rows) {
  const int lane = threadIdx.x % kWarp, first = threadIdx.x / kWarp * kRowsPerWarp;
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    if (first + r >= valid) break;
    const PackedRow& row = s.rows[first + r];
    FinishedRow finished{1.0f, 0.0f};
    char* to;
    int dtype = p.out.dtype;
    if (item.partial < 0) {
      finished = finishRow(p.out, row.head, rows.top[r], rows.denominator[r]);
      to = outRow(p.out, row.row, row.head);
      if (lane == 0) writeLse(p.out, row.row, row.head, finished.lse);
    } else {
      const int64_t partialRow = static_cast<int64_t>(item.partial) + row.row - item.rowBegin;
      const Partials partials{p.partials, p.image->partialRows, p.heads, p.headDim};
      to = reinterpret_cast<char*>(partials.sum(partialRow, row.head));
      dtype = PW_F32;
      float* state = partials.state(partialRow, row.head);
      if (lane < 2) state[lane] = lane == 0 ? rows.top[r] : rows.denominator[r];
    }
#pragma unroll
    for (int c = 0; c < kColumns; ++c)
      if (lane + c * kWarp < p.headDim) storeFloat(to, dtype, lane + c * kWarp, rows.sum[r][c] * finished.factor);
  }
}

template <int kColumns>
__device__ void attendRows(const pw_gpu_attention_params& p, const pw_attention_item& item, int kvHead, int packedBegin,
                           const Shared& s) {
  const int packed = item.rows * static_cast<int>(p.group.divisor), valid = min(kTileRows, packed - packedBegin);
  __syncthreads();
  if (threadIdx.x < kTileRows) s.rows[threadIdx.x] = packedRow(p, item, kvHead, packedBegin + threadIdx.x);
  __syncthreads();
  loadQueries(p, valid, s);
  const ItemMask mask(p.image, item);
  WarpRows<kColumns> rows;
  const int firstChunk = item.kvBegin / kKeys, skipBegin = (item.skipBegin + kKeys - 1) / kKeys;
  const int skipEnd = item.skipEnd / kKeys;
  for (int chunk = firstChunk; chunk * kKeys < item.kvEnd; ++chunk) {
    if (chunk >= skipBegin && chunk < skipEnd) chunk = skipEnd;
    if (chunk * kKeys >= item.kvEnd) break;
    __syncthreads();
    loadKeys(p, item, kvHead, chunk * kKeys, s);
    __syncthreads();
    float weight[kRowsPerWarp];
    scoreKeys(p, mask, chunk * kKeys, s, rows, weight);
    addValues(p, s, weight, rows);
  }
  writeRows(p, item, valid, s, rows);
}

/// Blocks along x go over items and kv heads, along y over the packed rows of each.
template <int kColumns>
__device__ void attend(const pw_gpu_attention_params& p) {
  extern __shared__ uint4 sharedBytes[];
  const Shared s(reinterpret_cast<char*>(sharedBytes), p.headDim);
  const int64_t count = static_cast<int64_t>(p.image->itemCount) * p.kvHeads.divisor;
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const pw_attention_item item = planItem(p.image, i / p.kvHeads.divisor);
    const int kvHead = static_cast<int>(i % p.kvHeads.divisor);
    const int packed = item.rows * static_cast<int>(p.group.divisor);
    for (int begin = blockIdx.y * kTileRows; begin < packed; begin += gridDim.y * kTileRows)
      attendRows<kColumns>(p, item, kvHead, begin, s);
  }
  if (blockIdx.y == 0) clearRest(p);
}

}  // namespace
}  // namespace pw

using namespace pw;

extern "C" __global__ void __launch_bounds__(kThreads, 4)
    pw_attention_fma_64(const __grid_constant__ pw_gpu_attention_params p) {
  attend<2>(p);
}

extern "C" __global__ void __launch_bounds__(kThreads, 4)
    pw_attention_fma_128(const __grid_constant__ pw_gpu_attention_params p) {
  attend<4>(p);
}

extern "C" __global__ void __launch_bounds__(kThreads, 4)
    pw_attention_fma_256(const __grid_constant__ pw_gpu_attention_params p) {
  attend<8>(p);
}
