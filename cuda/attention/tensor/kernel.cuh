// SPDX-License-Identifier: Apache-2.0
/// @file Paged flash attention on tensor cores (Dao et al., 2022; split keys: Dao et al., 2023), f16 or bf16 queries
/// over a cache of the same type or of codes, f32 sums.
///
/// A block does one row tile of an item for one kv head. Each warp keeps 16 packed rows of q in registers, and what it
/// has summed for them; weights go from the scores to the second product without leaving registers. attention_shape.h
/// says how keys are shared among warps and pass through shared memory.
#pragma once
#include "attention/finish.cuh"
#include "attention/tensor/logits.cuh"
#include "attention/tensor/ring.cuh"

namespace pw {

template <int kType>
__device__ inline uint32_t packWeights(float low, float high) {
  return kType == PW_F16 ? floatsToHalf2(low, high) : floatsToBfloat2(low, high);
}

/// A hidden key has weight 0 whatever its scale is.
__device__ inline float scaledWeight(float weight, float scale) { return weight == 0.0f ? 0.0f : weight * scale; }

template <int kType, pw_kv_type kCache, int kDim>
class TensorAttention {
 public:
  static constexpr int kBits = pw_kv_bits(kCache);
  static constexpr AttentionRing kRing{kDim, kBits};
  static constexpr int kKeys = kRing.keys(), kTiles = kKeys / 8;
  /// Weights times a value's scale can be of any magnitude, which f16 cannot hold.
  static constexpr int kValueType = kRing.codes() ? PW_BF16 : kType;

  __device__ TensorAttention(const pw_gpu_attention_params& p, char* shared)
      : p_(p),
        group_(kDim, p.tile),
        rows_(reinterpret_cast<PackedRow*>(shared)),
        queries_(shared + pw_attention_tile_rows(p.tile) * kPackedRowBytes),
        marks_(shared + attentionMarksAt(kDim, p.tile) + threadIdx.x / kWarp * attentionMarkBytes(kRing)),
        ring_(shared + attentionRingsAt(kRing, p.tile)) {
    static_assert(sizeof(PackedRow) == kPackedRowBytes, "attentionSharedBytes counts rows");
  }

  /// The tile's rows of the work, which a barrier has made visible.
  __device__ void attend(BlockWork& work) {
    const pw_attention_item& item = work.item;
    if (static_cast<int>(threadIdx.x) < pw_attention_tile_rows(p_.tile))
      rows_[threadIdx.x] = packedRow(p_, item, work.kvHead, work.packedBegin + threadIdx.x);
    __syncthreads();
    WarpState<kDim> state;
    do {
      sumUp(work, warpRows(), validRows(work), state);
      waitForCopies<0>();
    } while (hasMoreParts(work.part, state));
    joinGroups(state);
    const int valid = validRows(work);
    if (group_.index == 0 && valid > 0) write(item, warpRows(), min(valid, 16), state);
  }

 private:
  /// The warp's rows, and how many it has of the 16; less than 1 if none.
  __device__ const PackedRow* warpRows() const { return rows_ + group_.rowWarp * 16; }
  /// volatile: read anew, since a register for it in the main loop is one too many for the largest heads.
  __device__ int validRows(const volatile BlockWork& work) const {
    return work.item.rows * static_cast<int>(p_.group.divisor) - work.packedBegin - group_.rowWarp * 16;
  }

  __device__ const uint16_t* query(const PackedRow& row) const {
    return static_cast<const uint16_t*>(p_.q) + row.row * p_.qStrides[0] + row.head * p_.qStrides[1];
  }

  /// A barrier of the block, after a part. Is there another one to sum up? Else the sum of all is in `state`.
  __device__ bool hasMoreParts(ValuePart& shared, WarpState<kDim>& state) const {
    if constexpr (kRing.codes()) {  // codes are finite, and scales go with the weights
      __syncthreads();
      return false;
    } else {
      const ValuePart part = shared;
      if (!__syncthreads_or(part != kAllValues || !state.isFinite())) return false;
      InfinityMarks<kDim> marks(marks_);
      if (part == kFiniteValues) {
        marks.add(state);
        return false;
      }
      if (part != kAllValues) marks.write(part, state);
      if (threadIdx.x == 0) shared = static_cast<ValuePart>(part + 1);
      __syncthreads();
      state.clear();
      return true;
    }
  }

  __device__ void sumUp(const BlockWork& work, const PackedRow* rows, int valid, WarpState<kDim>& state) const {
    KvRing<kDim, kBits> ring(p_, work, group_, ring_ + group_.index * kRing.bytes());
    const int g = threadIdx.x % kWarp / 4;
    const Query<kDim, kBits> q(
        g < valid ? query(rows[g]) : nullptr, g + 8 < valid ? query(rows[g + 8]) : nullptr, p_.headDim,
        reinterpret_cast<uint4*>(queries_ + group_.rowWarp * attentionQueryBytes(kDim)), group_.index == 0);
    if (Query<kDim, kBits>::kShared) __syncthreads();
    const ItemMask mask(p_.image, work.item);
    const WarpRange range(mask, rows, valid);
    for (int chunk = group_.first(work.chunks); chunk < work.chunks.last; chunk = group_.next(work.chunks, chunk)) {
      const bool seen = chunk * kKeys < range.end;
      uint32_t slot = ring.take();
      float weights[kTiles][4] = {};
      if (seen) {
        multiplyKeys<kType, kCache, kDim>(weights, q, slot);
        finishLogits<kTiles, kRing.codes()>(weights, p_, mask, range, rows, chunk * kKeys, scalesAt(slot));
        state.addLogits(weights);
      }
      slot = ring.take();
      if (!kRing.codes() && work.part != kAllValues) {
        ring.template keepPart<kType>(slot, work.part);
        if (isInfinities(work.part)) weightsAsOnes(weights);
      }
      if (seen) addValues(weights, slot, state);
    }
  }

  /// The scales behind a slot's codes.
  __device__ static const float* scalesAt(uint32_t slot) {
    return static_cast<const float*>(__cvta_shared_to_generic(slot + kKeys * kRing.rowBytes()));
  }

  __device__ static void addValues(const float (&weights)[kTiles][4], uint32_t slot, WarpState<kDim>& state) {
#pragma unroll
    for (int s = 0; s < kTiles / 2; ++s) {
      uint32_t packed[4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* w = weights[2 * s + half];
        float scaled[4] = {w[0], w[1], w[2], w[3]};
        if (kRing.codes()) {
          const float2 scale =
              *reinterpret_cast<const float2*>(scalesAt(slot) + 16 * s + 8 * half + 2 * (threadIdx.x % 4));
#pragma unroll
          for (int e = 0; e < 4; ++e) scaled[e] = scaledWeight(w[e], e % 2 ? scale.y : scale.x);
        }
        packed[2 * half] = packWeights<kValueType>(scaled[0], scaled[1]);
        packed[2 * half + 1] = packWeights<kValueType>(scaled[2], scaled[3]);
      }
      multiplyValues<kValueType, kCache, kDim>(state.sums, packed, slot, 16 * s);
    }
  }

  /// The first group gets the sum of all, in the order of the groups.
  __device__ void joinGroups(WarpState<kDim>& state) const {
#pragma unroll
    for (float& d : state.denominator) d = rowSum(d);
    if (group_.count == 1) return;
    constexpr int kStateFloats = (kDim / 2 + 4) * kWarp;
    float* states = reinterpret_cast<float*>(ring_) + group_.rowWarp * kStateFloats;
    const int stride = group_.rowWarps * kStateFloats;
    if (group_.index > 0) state.write(states + (group_.index - 1) * stride);
    __syncthreads();
    if (group_.index == 0)
      for (int i = 0; i + 1 < group_.count; ++i) state.join(states + i * stride);
    __syncthreads();
  }

  __device__ void write(const pw_attention_item& item, const PackedRow* rows, int valid,
                        const WarpState<kDim>& state) const {
    const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
    float factor[2] = {1.0f, 1.0f};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (g + 8 * r >= valid) continue;
      const PackedRow& row = rows[g + 8 * r];
      if (item.partial < 0) {
        const FinishedRow finished = finishRow(p_.out, row.head, state.top[r], state.denominator[r]);
        factor[r] = finished.factor;
        if (t == 0) writeLse(p_.out, row.row, row.head, finished.lse);
      } else if (t < 2) {
        partials().state(partialRow(item, row), row.head)[t] = t == 0 ? state.top[r] : state.denominator[r];
      }
    }
    float* staged = reinterpret_cast<float*>(ring_) + group_.rowWarp * 16 * kStagedStride;
#pragma unroll
    for (int begin = 0; begin < kDim; begin += kStagedColumns) {
      __syncwarp();
#pragma unroll
      for (int n = 0; n < kStagedColumns / 8; ++n)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const float* two = state.sums[begin / 8 + n] + 2 * r;
          float* to = staged + (g + 8 * r) * kStagedStride + resultColumn<kBits>(n, t);
          to[0] = two[0] * factor[r];
          to[kResultStep<kBits>] = two[1] * factor[r];
        }
      __syncwarp();
      writeColumns(item, rows, valid, begin, staged);
    }
  }

  /// 16 lanes write a row's staged columns.
  __device__ void writeColumns(const pw_attention_item& item, const PackedRow* rows, int valid, int begin,
                               const float* staged) const {
    const int lane = threadIdx.x % kWarp, column = begin + lane % 16 * 4;
    if (column >= p_.headDim) return;
    for (int i = lane / 16; i < valid; i += 2) {
      const float4 four = *reinterpret_cast<const float4*>(staged + i * kStagedStride + lane % 16 * 4);
      const float x[4] = {four.x, four.y, four.z, four.w};
      if (item.partial < 0)
        storeChunk(outRow(p_.out, rows[i].row, rows[i].head), p_.out.dtype, column, x);
      else
        storeChunk(partials().sum(partialRow(item, rows[i]), rows[i].head), PW_F32, column, x);
    }
  }

  __device__ Partials partials() const { return {p_.partials, p_.image->partialRows, p_.heads, p_.headDim}; }
  __device__ static int64_t partialRow(const pw_attention_item& item, const PackedRow& row) {
    return static_cast<int64_t>(item.partial) + row.row - item.rowBegin;
  }

  const pw_gpu_attention_params& p_;
  KeyGroup group_;
  PackedRow* const rows_;
  char* const queries_;
  char* const marks_;
  char* const ring_;
};

/// Blocks go over items and kv heads.
template <int kType, pw_kv_type kCache, int kDim>
__device__ inline void attendTile(const pw_gpu_attention_params& p) {
  extern __shared__ uint4 sharedBytes[];
  TensorAttention<kType, kCache, kDim> attention(p, reinterpret_cast<char*>(sharedBytes));
  __shared__ BlockWork work;
  unsigned first = 0;
  for (int tile = 0; tile < p.items; ++tile) first += p.image->tileItems[tile];
  const unsigned count = p.image->tileItems[p.items] * p.kvHeads.divisor;
  for (unsigned i = blockIdx.x; i < count; i += gridDim.x) {
    int packed = 1;
    for (int begin = 0; begin < packed; begin += pw_attention_tile_rows(p.tile)) {
      __syncthreads();  // nobody needs what is in shared memory any more
      if (threadIdx.x == 0) {
        const pw_attention_item& item = planItem(p.image, first + i / p.kvHeads.divisor);
        work = {item, {item, attention.kKeys}, static_cast<int>(i % p.kvHeads.divisor), begin, kAllValues};
      }
      __syncthreads();
      packed = work.item.rows * static_cast<int>(p.group.divisor);
      attention.attend(work);
    }
  }
}

}  // namespace pw

/// An instance: q of `type`, a cache of the same type or of codes, head dimensions up to `dim`.
#define PW_TENSOR_ATTENTION(name, type, cache, dim)                            \
  extern "C" __global__ void __launch_bounds__(256, 1)                         \
      pw_attention_##name(const __grid_constant__ pw_gpu_attention_params p) { \
    pw::attendTile<type, cache, dim>(p);                                       \
  }
