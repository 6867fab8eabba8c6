// SPDX-License-Identifier: Apache-2.0
/// @file What a block knows of its rows and of the keys that they see. Packed row i of an item is query row i / group
/// and the kv head's query head i % group.
#pragma once
#include "common/divide.cuh"
#include "common/reduce.cuh"
#include "pagewarp/gpu/attention.h"

namespace pw {

constexpr float kNoLogit = -__builtin_huge_valf();

/// An array of the plan.
template <class T>
__device__ inline const T* planArray(const pw_attention_image* image, int64_t at) {
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(image) + at);
}

__device__ inline const pw_attention_item& planItem(const pw_attention_image* image, int64_t index) {
  return reinterpret_cast<const pw_attention_item*>(image + 1)[index];
}

struct PackedRow {
  int row, head;
  int start, horizon, position;  // pw_row_mask
  float slope;
  uint64_t tree;      // read where it decides; kept in registers it would take up to 6 in every chunk of keys
  int64_t customBit;  // of key 0
};

/// Where masks of an item's rows change their rule.
struct ItemMask {
  int kvBegin, kvEnd;
  int sinkTokens;
  int treeBegin;  // first key that a tree mask speaks for
  const uint32_t* customBits;

  __device__ ItemMask(const pw_attention_image* image, const pw_attention_item& item)
      : kvBegin(item.kvBegin),
        kvEnd(item.kvEnd),
        sinkTokens(image->sinkTokens),
        treeBegin(item.keys),
        customBits(image->customBitsAt ? planArray<uint32_t>(image, image->customBitsAt) : nullptr) {
    if (image->treeMasksAt) treeBegin -= planArray<int32_t>(image, image->treeLengthsAt)[item.sequence];
  }
};

/// Packed row `packed` of an item; one that the item does not have sees no key.
__device__ inline PackedRow packedRow(const pw_gpu_attention_params& p, const pw_attention_item& item, int kvHead,
                                      int packed) {
  PackedRow r{};
  const int group = static_cast<int>(p.group.divisor), index = quotient(packed, p.group);
  if (index >= item.rows) return r;
  const pw_attention_image* image = p.image;
  r.row = item.rowBegin + index;
  r.head = kvHead * group + remainder(packed, index, p.group);
  const pw_row_mask mask = planArray<pw_row_mask>(image, image->rowMasksAt)[r.row];
  r.start = mask.start;
  r.horizon = mask.horizon;
  r.position = mask.position;
  if (p.alibiSlopes) r.slope = p.alibiSlopes[r.head * p.slopeStride];
  if (image->treeMasksAt) r.tree = planArray<uint64_t>(image, image->treeMasksAt)[r.row];
  if (image->customBitsAt) {
    const int firstRow = planArray<int32_t>(image, image->rowBeginAt)[item.sequence];
    r.customBit = planArray<int64_t>(image, image->customBeginAt)[item.sequence] +
                  static_cast<int64_t>(r.row - firstRow) * item.keys;
  }
  return r;
}

/// The low n bits.
__device__ inline uint32_t lowBits(int n) { return n <= 0 ? 0u : n >= 32 ? ~0u : (1u << n) - 1u; }

/// Bit i: does the row see key k0 + i?
__device__ inline uint32_t visibleKeys(const ItemMask& mask, const PackedRow& r, int k0) {
  uint32_t bits = (lowBits(r.horizon - k0) & ~lowBits(r.start - k0)) | lowBits(min(mask.sinkTokens, r.horizon) - k0);
  const int shift = mask.treeBegin - k0;
  if (shift >= 0) {
    if (shift < 32) bits = (bits & lowBits(shift)) | static_cast<uint32_t>(r.tree) << shift;
  } else {
    bits = shift > -64 ? static_cast<uint32_t>(r.tree >> -shift) : 0u;
  }
  if (mask.customBits) {
    const int64_t first = r.customBit + k0;
    const uint32_t* words = mask.customBits + (first >> 5);
    bits &= __funnelshift_r(words[0], words[1], static_cast<uint32_t>(first) & 31u);
  }
  return bits & lowBits(mask.kvEnd - k0) & ~lowBits(mask.kvBegin - k0);
}

/// Distance of a row to a key that it sees, for ALiBi. In a tree: the number of nodes from the key's to the row's.
__device__ inline float keyDistance(const ItemMask& mask, const PackedRow& r, int key) {
  const int node = key - mask.treeBegin;
  if (node >= 0) return static_cast<float>(__popcll(r.tree & ~((2ull << node) - 1ull)));
  return static_cast<float>(abs(r.position - key));
}

}  // namespace pw
