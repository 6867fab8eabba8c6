// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "attention/packed_rows.cuh"
#include "attention/tensor/parts.cuh"
#include "common/async_copy.cuh"
#include "common/swizzle.cuh"
#include "pagewarp/gpu/attention_shape.h"

namespace pw {

/// The warps that share keys, and the chunks of an item's keys that they visit: those whose number is theirs modulo the
/// number of groups. A chunk's number is its first key divided by its size, so that the rounding of a row's result does
/// not depend on where its item begins.
struct KeyGroup {
  int index, count;
  int rowWarps, rowWarp;  // warps in the group, and which of them this is
  int firstChunk, lastChunk, skipBegin, skipEnd;

  __device__ KeyGroup(int dim, int tile) {
    const int warp = threadIdx.x / kWarp;
    rowWarps = attentionRowWarps(tile);
    count = attentionKeyGroups(dim, tile);
    index = warp / rowWarps;
    rowWarp = warp % rowWarps;
  }

  __device__ void visit(const pw_attention_item& item, int keys) {
    firstChunk = item.kvBegin / keys;
    lastChunk = (item.kvEnd + keys - 1) / keys;
    skipBegin = (item.skipBegin + keys - 1) / keys;
    skipEnd = item.skipEnd / keys;
    if (item.kvBegin >= item.kvEnd) lastChunk = firstChunk;
  }

  /// The first of the group's chunks from `chunk` on that is not skipped.
  __device__ int from(int chunk) const {
    chunk += (index - chunk % count + count) % count;
    if (chunk >= skipBegin && chunk < skipEnd) chunk += (skipEnd - chunk + count - 1) / count * count;
    return chunk;
  }
  __device__ int next(int chunk) const {
    chunk += count;
    if (chunk >= skipBegin && chunk < skipEnd) chunk += (skipEnd - chunk + count - 1) / count * count;
    return chunk;
  }

  /// A barrier of the group's warps.
  __device__ void synchronize() const {
    if (rowWarps == 1)
      __syncwarp();
    else
      asm volatile("bar.sync %0, %1;" ::"r"(index + 1), "r"(rowWarps * kWarp) : "memory");
  }
};

/// What a block is at, in shared memory: registers are scarce.
struct BlockWork {
  pw_attention_item item;
  int kvHead;
  int packedBegin;  // of the tile's rows in the item
  ValuePart part;
};

/// A group's ring of slots in shared memory: keys and values of its chunks go through it in turns, several slots ahead
/// of where the warps are. Page look-ups run one chunk further ahead, a lane for each key.
template <int kDim, int kBits>
class KvRing {
 public:
  static constexpr AttentionRing kShape{kDim, kBits};
  static constexpr int kKeys = kShape.keys(), kSlots = kShape.slots();

  __device__ KvRing(const pw_gpu_attention_params& p, const BlockWork& work, const KeyGroup& group, char* shared)
      : p_(p),
        work_(work),
        group_(group),
        base_(shared),
        pages_(planArray<int32_t>(p.image, p.image->pagesAt) + work.item.pageBegin),
        chunk_(group.from(group.firstChunk)) {
    page_ = lookUp(chunk_);
    nextPage_ = lookUp(group.next(chunk_));
#pragma unroll 1  // once an item: not worth its code
    for (int i = 0; i + 1 < kSlots; ++i) fillNext();
  }

  /// Waits for the next slot, starts filling the one before it, and gives the slot's address in shared memory.
  __device__ uint32_t take() {
    waitForCopies<kSlots - 2>();
    group_.synchronize();
    const uint32_t slot = sharedAddress(base_) + taken_ * kShape.slotBytes();
    taken_ = taken_ + 1 == kSlots ? 0 : taken_ + 1;
    fillNext();
    return slot;
  }

  /// Leaves only a part of the values in a slot that take() gave. For all warps of the group.
  template <int kType>
  __device__ void keepPart(uint32_t slot, ValuePart part) const {
    auto* words = static_cast<uint32_t*>(__cvta_shared_to_generic(slot));
    const int first = group_.rowWarp * kWarp + static_cast<int>(threadIdx.x % kWarp);
#pragma unroll 1
    for (int i = first; i < kKeys * kShape.rowBytes() / 4; i += group_.rowWarps * kWarp)
      words[i] = pw::keepPart<kType>(words[i], part);
    group_.synchronize();
  }

 private:
  /// The page of the lane's key in a chunk; -1 if the item does not visit it.
  __device__ int lookUp(int chunk) const {
    const int lane = threadIdx.x % kWarp, key = chunk * kKeys + lane;
    const bool visited = chunk < group_.lastChunk && lane < kKeys && key >= work_.item.kvBegin &&
                         key < work_.item.kvEnd && !(key >= work_.item.skipBegin && key < work_.item.skipEnd);
    return visited ? pages_[quotient(key, p_.pageSize)] : -1;
  }

  __device__ void fillNext() {
    if (chunk_ < group_.lastChunk) {
      fill(fillsValues_ ? p_.v : p_.k);
      if (fillsValues_) {
        chunk_ = group_.next(chunk_);
        page_ = nextPage_;
        nextPage_ = lookUp(group_.next(chunk_));
      }
      fillsValues_ = !fillsValues_;
    }
    commitCopies();
    filled_ = filled_ + 1 == kSlots ? 0 : filled_ + 1;
  }

  __device__ void fill(const pw_gpu_kv_pool& pool) {
    constexpr int kChunks = kShape.rowBytes() / 16, kRowsAtOnce = kWarp / kChunks;
    static_assert(kRowsAtOnce >= 1 && kKeys % kRowsAtOnce == 0, "a warp copies whole rows");
    const int lane = threadIdx.x % kWarp, key = chunk_ * kKeys + lane;
    const int slot = remainder(key, quotient(key, p_.pageSize), p_.pageSize);
    const uint32_t visited = __ballot_sync(kAllLanes, page_ >= 0);
    const int page = page_ < 0 ? 0 : page_;
    constexpr int kStride = kShape.codes() ? 1 : 2;  // bytes that strides count
    const int64_t offset = (page * pool.strides[0] + slot * pool.strides[1]) * kStride;
    const char* from = static_cast<const char*>(pool.data) + work_.kvHead * pool.strides[2] * kStride;
    char* to = base_ + filled_ * kShape.slotBytes();
    const int column = lane % kChunks;
    const bool inside = column * 128 < p_.headDim * kBits;
#pragma unroll 4
    for (int i = group_.rowWarp; i < kKeys / kRowsAtOnce; i += group_.rowWarps) {
      const int row = i * kRowsAtOnce + lane / kChunks;
      const int64_t at = __shfl_sync(kAllLanes, offset, row);
      const bool wanted = inside && ((visited >> row) & 1u);
      copyAsync16(to + swizzled<kShape.rowBytes()>(row, column), wanted ? from + at + column * 16 : from, wanted);
    }
    if (kShape.codes() && group_.rowWarp == 0 && lane < kKeys) {
      const float* scale =
          pool.scale + page * pool.scaleStrides[0] + slot * pool.scaleStrides[1] + work_.kvHead * pool.scaleStrides[2];
      copyAsync4(to + kKeys * kShape.rowBytes() + lane * 4, page_ < 0 ? pool.scale : scale, page_ >= 0);
    }
  }

  const pw_gpu_attention_params& p_;
  const BlockWork& work_;
  const KeyGroup& group_;
  char* const base_;
  const int32_t* const pages_;
  int chunk_;            // that is filled next
  int page_, nextPage_;  // of the lane's key there, and in the chunk after it
  int filled_ = 0, taken_ = 0;
  bool fillsValues_ = false;
};

}  // namespace pw
