// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "attention/packed_rows.cuh"
#include "attention/tensor/parts.cuh"
#include "common/async_copy.cuh"
#include "common/swizzle.cuh"
#include "pagewarp/gpu/attention_shape.h"

namespace pw {

/// The chunks of an item's keys. A chunk's number is its first key divided by its size, so that the rounding of a row's
/// result does not depend on where its item begins.
struct ItemChunks {
  int first, last, skipBegin, skipEnd;

  __device__ ItemChunks(const pw_attention_item& item, int keys)
      : first(item.kvBegin / keys),
        last(item.kvBegin < item.kvEnd ? (item.kvEnd + keys - 1) / keys : first),
        skipBegin((item.skipBegin + keys - 1) / keys),
        skipEnd(item.skipEnd / keys) {}
  ItemChunks() = default;
};

/// What a block is at, in shared memory: registers are scarce.
struct BlockWork {
  pw_attention_item item;
  ItemChunks chunks;
  int kvHead;
  int packedBegin;  // of the tile's rows in the item
  ValuePart part;
};

/// The warps that share keys. They visit the chunks whose number is theirs modulo the number of groups.
struct KeyGroup {
  int index, count;
  int rowWarps, rowWarp;  // warps in the group, and which of them this is

  __device__ KeyGroup(int dim, int tile) {
    const int warp = threadIdx.x / kWarp;
    rowWarps = attentionRowWarps(tile);
    count = attentionKeyGroups(dim, tile);
    index = warp / rowWarps;
    rowWarp = warp % rowWarps;
  }

  /// The first of the group's chunks that is not skipped.
  __device__ int first(const ItemChunks& chunks) const {
    return visited(chunks, chunks.first + (index - chunks.first % count + count) % count);
  }
  __device__ int next(const ItemChunks& chunks, int chunk) const { return visited(chunks, chunk + count); }

  /// A barrier of the group's warps.
  __device__ void synchronize() const {
    if (rowWarps == 1)
      __syncwarp();
    else
      asm volatile("bar.sync %0, %1;" ::"r"(index + 1), "r"(rowWarps * kWarp) : "memory");
  }

 private:
  /// This one of the group's chunks, or if it is skipped the next one that is not.
  __device__ int visited(const ItemChunks& chunks, int chunk) const {
    if (chunk >= chunks.skipBegin && chunk < chunks.skipEnd)
      chunk += (chunks.skipEnd - chunk + count - 1) / count * count;
    return chunk;
  }
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
        base_(sharedAddress(shared)),
        pages_(planArray<int32_t>(p.image, p.image->pagesAt) + work.item.pageBegin),
        chunk_(group.first(work.chunks)) {
    page_ = lookUp(chunk_);
    nextPage_ = lookUp(group.next(work.chunks, chunk_));
#pragma unroll 1  // once an item: not worth its code
    for (int i = 0; i + 1 < kSlots; ++i) fillNext();
  }

  /// Waits for the next slot, starts filling the one before it, and gives the slot's address in shared memory.
  __device__ uint32_t take() {
    waitForCopies<kSlots - 2>();
    group_.synchronize();
    const uint32_t slot = base_ + taken_ * kShape.slotBytes();
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
    const bool visited = chunk < work_.chunks.last && lane < kKeys && key >= work_.item.kvBegin &&
                         key < work_.item.kvEnd && !(key >= work_.item.skipBegin && key < work_.item.skipEnd);
    return visited ? pages_[quotient(key, p_.pageSize)] : -1;
  }

  __device__ void fillNext() {
    if (chunk_ < work_.chunks.last) {
      fill(fillsValues_ ? p_.v : p_.k);
      if (fillsValues_) {
        chunk_ = group_.next(work_.chunks, chunk_);
        page_ = nextPage_;
        nextPage_ = lookUp(group_.next(work_.chunks, chunk_));
      }
      fillsValues_ = !fillsValues_;
    }
    commitCopies();
    filled_ = filled_ + 1 == kSlots ? 0 : filled_ + 1;
  }

  /// Offsets count 16 bytes in 32 bits: launchers see to it that pools are no larger.
  __device__ void fill(const pw_gpu_kv_pool& pool) {
    constexpr int kRowBytes = kShape.rowBytes(), kChunks = kRowBytes / 16, kRowsAtOnce = kWarp / kChunks;
    // The chunks of rows that are so far apart lie in the same order.
    constexpr int kStep = kRowsAtOnce > 8 ? kRowsAtOnce : 8;
    static_assert(kRowsAtOnce >= 1 && kKeys % kStep == 0, "a warp copies whole rows");
    // Strides count bytes of codes, or elements of 2 bytes.
    constexpr int kShift = kShape.codes() ? 4 : 3, kStride = kShape.codes() ? 1 : 2;
    const int lane = threadIdx.x % kWarp, key = chunk_ * kKeys + lane;
    const int slot = remainder(key, quotient(key, p_.pageSize), p_.pageSize), page = max(page_, 0);
    const int offset =
        page * static_cast<int>(pool.strides[0] >> kShift) + slot * static_cast<int>(pool.strides[1] >> kShift);
    const uint32_t to = base_ + filled_ * kShape.slotBytes(), visited = __ballot_sync(kAllLanes, page_ >= 0);
    const int column = lane % kChunks, together = group_.rowWarps * kRowsAtOnce;
    const bool inside = column * 128 < p_.headDim * kBits;
    const uint32_t wanted = inside ? visited : 0u;
    const char* from =
        static_cast<const char*>(pool.data) + work_.kvHead * pool.strides[2] * kStride + (inside ? column * 16 : 0);
    const auto rowAt = [&](int row) { return from + __shfl_sync(kAllLanes, offset, row) * int64_t{16}; };
    int row = group_.rowWarp * kRowsAtOnce + lane / kChunks;
    // Without warps for more, there is no code for it.
    if (attentionRowWarps(PW_ATTENTION_TILES - 1) * kRowsAtOnce <= kStep || together <= kStep) {
#pragma unroll 1
      for (; row < kStep; row += together) {
        const uint32_t at = to + swizzled<kRowBytes>(row, column), bits = wanted >> row;
#pragma unroll
        for (int i = 0; i < kKeys; i += kStep) copyAsync16(at + i * kRowBytes, rowAt(row + i), (bits >> i) & 1u);
      }
    } else {
#pragma unroll 1
      for (; row < kKeys; row += together)
        copyAsync16(to + swizzled<kRowBytes>(row, column), rowAt(row), (wanted >> row) & 1u);
    }
    if (kShape.codes() && group_.rowWarp == 0 && lane < kKeys) {
      const float* scale =
          pool.scale + work_.kvHead * pool.scaleStrides[2] +
          (page * static_cast<int>(pool.scaleStrides[0]) + slot * static_cast<int>(pool.scaleStrides[1]));
      copyAsync4(to + kKeys * kRowBytes + lane * 4, scale, page_ >= 0);
    }
  }

  const pw_gpu_attention_params& p_;
  const BlockWork& work_;
  const KeyGroup& group_;
  const uint32_t base_;
  const int32_t* const pages_;
  int chunk_;            // that is filled next
  int page_, nextPage_;  // of the lane's key there, and in the chunk after it
  int filled_ = 0, taken_ = 0;
  bool fillsValues_ = false;
};

}  // namespace pw
