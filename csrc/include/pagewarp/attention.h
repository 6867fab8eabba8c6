// SPDX-License-Identifier: Apache-2.0
/// @file Paged flash attention over a ragged batch: one operation for prefill, decode and tree verification.
///
/// Row r of the batch belongs to one sequence and attends to keys of that sequence, which are numbered from 0 and found
/// through the page table: key j lies in page pages[pageBegin[sequence] + j / pageSize] at offset j % pageSize.
#pragma once
#include <stdint.h>

#include "pagewarp/host_device.h"
#include "pagewarp/kvcache.h"
#include "pagewarp/tensor.h"

/// Which keys a row sees: j in [start, horizon), and the sink tokens j < min(sinkTokens, horizon).
/// Under a tree mask the sequence's last tree tokens are instead seen as the row's 64-bit mask says.
typedef struct pw_row_mask {
  int32_t start;
  int32_t horizon;
  int32_t position;  ///< of the row itself, for distances; negative when there are more rows than keys
} pw_row_mask;

/// A unit of work, to be done for each kv head: some rows of a sequence against a range of its keys. No row of the item
/// sees a key in [skipBegin, skipEnd), and no page there is touched. Over a shared prefix, rows are of several
/// sequences and `sequence` is the first of them, in whose pages the prefix is found.
typedef struct pw_attention_item {
  int32_t sequence;
  int32_t rowBegin;  ///< global index of the first row
  int32_t rows;
  int32_t kvBegin, kvEnd;
  int32_t skipBegin, skipEnd;
  int32_t fullBegin, fullEnd;  ///< every row sees every key in between: no mask to evaluate there
  int32_t partial;             ///< first row of partial results in the workspace, or -1 to write the output at once
  int32_t keys;                ///< of the whole sequence
  int32_t pageBegin;           ///< of the sequence, in the plan's pages
} pw_attention_item;

/// Rows with several partial results. Row r joins partial rows partial + s * rows + (r - rowBegin), s = 0 .. splits -
/// 1, and, where it shares a prefix with other sequences, those over the prefix before them: sharedPartial + s *
/// sharedRows
/// + (r - sharedRowBegin), s = 0 .. sharedSplits - 1.
typedef struct pw_attention_merge {
  int32_t rowBegin;
  int32_t rows;
  int32_t partial;
  int32_t splits;
  int32_t sharedPartial;
  int32_t sharedSplits;
  int32_t sharedRows;
  int32_t sharedRowBegin;
} pw_attention_merge;

/// Parts of a merge, and the partial row of part `part` for row `i` of the merge.
PW_HOST_DEVICE static inline int32_t pw_attention_parts(const pw_attention_merge* merge) {
  return merge->sharedSplits + merge->splits;
}
PW_HOST_DEVICE static inline int64_t pw_attention_partial_row(const pw_attention_merge* merge, int32_t part,
                                                              int32_t i) {
  if (part < merge->sharedSplits)
    return merge->sharedPartial + (int64_t)part * merge->sharedRows + (merge->rowBegin - merge->sharedRowBegin + i);
  return merge->partial + (int64_t)(part - merge->sharedSplits) * merge->rows + i;
}

/// Items come in the order of their row tiles: packed rows (query rows times the heads that share a kv head) up to 16
/// first, then up to 32, 64, and the rest.
#define PW_ATTENTION_TILES 4
PW_HOST_DEVICE static inline PW_CONSTEXPR int32_t pw_attention_tile_rows(int32_t tile) { return 16 << tile; }

/// A plan in one block of bytes, which may be copied to a device and means the same there: this header, the items right
/// behind it, then arrays at offsets in bytes from the header, 0 for those that the plan does not have.
typedef struct pw_attention_image {
  int32_t itemCount, mergeCount;
  int32_t tileItems[PW_ATTENTION_TILES];  ///< items of each row tile
  int32_t rows, sinkTokens;
  int64_t mergesAt, rowBeginAt, pagesAt, rowMasksAt, treeMasksAt, treeLengthsAt, customBitsAt, customBeginAt;
  int64_t partialRows;
  int64_t reserved;
} pw_attention_image;

/// A plan as kernels see it (built by pw::AttentionPlan). Pointers are in host memory, all of them into the image.
typedef struct pw_attention_plan {
  uint64_t id;  ///< of this plan alone
  const pw_attention_image* image;
  int64_t imageBytes;
  int32_t sequences, rows;
  int32_t heads, kvHeads, headDim;
  int32_t pageSize, pagesInPool;
  int32_t sinkTokens;
  const int32_t* rowBegin;   ///< [sequences + 1]
  const int32_t* kvLengths;  ///< [sequences]
  const int32_t* pageBegin;  ///< [sequences + 1]
  const int32_t* pages;      ///< entries that no row needs are 0
  const pw_row_mask* rowMasks;
  const uint64_t* treeMasks;   ///< [rows], or NULL: bit t is the sequence's key kvLength - treeLength + t
  const int32_t* treeLengths;  ///< [sequences], with treeMasks; 0: no tree in that sequence
  const uint8_t* customBits;   ///< or NULL: bit customBegin[sequence] + row * kvLength + key, low bit first
  const int64_t* customBegin;  ///< [sequences], with customBits
  int32_t itemCount, mergeCount;
  int32_t mergeRows;  ///< of the largest merge
  const pw_attention_item* items;
  const pw_attention_merge* merges;
  int64_t partialRows;   ///< the workspace holds (headDim + 2) floats per partial row and head
  int64_t multiplyAdds;  ///< of Q K^T alone: what the batch costs
} pw_attention_plan;

typedef struct pw_attention_args {
  pw_tensor q;  ///< [rows, heads, headDim] f32 | f16 | bf16, last dimension contiguous
  pw_kv_layer cache;
  pw_tensor out;          ///< [rows, heads, headDim] f32 | f16 | bf16
  pw_tensor lse;          ///< optional f32 [rows, heads]: natural log of the sum of exponentials, -inf for no key
  pw_tensor alibiSlopes;  ///< optional f32 [heads]: logit -= slope * |row's position - key's position|
  pw_tensor sinks;        ///< optional f32 [heads]: one more logit in the denominator, without a value
  pw_tensor workspace;    ///< optional, at least the plan's workspace bytes; else the backend brings its own
  float scale;
  float softCap;  ///< logit = softCap * tanh(logit / softCap) when > 0
  pw_attention_plan plan;
} pw_attention_args;

/// Joins partial attention results over disjoint sets of keys (online softmax; Milakov and Gimelshein, 2018).
typedef struct pw_merge_states_args {
  pw_tensor outs;  ///< [parts, rows, heads, headDim] f32 | f16 | bf16
  pw_tensor lses;  ///< f32 [parts, rows, heads]; a part with -inf is not read at all
  pw_tensor out;   ///< [rows, heads, headDim]; zero where all parts are empty
  pw_tensor lse;   ///< optional f32 [rows, heads]
} pw_merge_states_args;

/// Bytes of workspace of a plan with so many partial rows.
static inline int64_t pw_attention_workspace_bytes(int64_t partialRows, int32_t heads, int32_t headDim) {
  return partialRows * heads * ((int64_t)headDim + 2) * (int64_t)sizeof(float);
}
