// SPDX-License-Identifier: Apache-2.0
#include "plan/attention_plan.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "plan/attention_masks.h"

namespace pw {
namespace {

/// Keys are visited in blocks that begin at multiples of this; splits do too, so that no block is cut for nothing.
constexpr int32_t kBlock = 64;
/// A shorter piece costs more in merging than another worker saves.
constexpr int32_t kShortestSplit = 256;

int64_t ceilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Some rows of a sequence and the keys that any of them sees.
struct RowTile {
  int32_t sequence, rowBegin, rows;
  int32_t kvBegin, kvEnd, skipBegin, skipEnd, fullBegin, fullEnd;
  int64_t visited() const { return static_cast<int64_t>(kvEnd) - kvBegin - (skipEnd - skipBegin); }
};

RowTile tileOf(const AttentionPlanInputs& in, const pw_row_mask* masks, int32_t sequence, int32_t rowBegin,
               int32_t rows) {
  const int32_t keys = in.kvLengths[sequence], tree = treeLengthOf(in, sequence);
  int32_t firstStart = keys, lastStart = 0, firstHorizon = keys, lastHorizon = 0;
  for (int32_t i = 0; i < rows; ++i) {
    firstStart = std::min(firstStart, masks[i].start);
    lastStart = std::max(lastStart, masks[i].start);
    firstHorizon = std::min(firstHorizon, masks[i].horizon);
    lastHorizon = std::max(lastHorizon, masks[i].horizon);
  }
  // A window that ends before the tree still leaves the tree's own tokens visible.
  if (tree > 0) firstStart = std::min(firstStart, keys - tree);
  RowTile t{sequence, rowBegin, rows, 0, lastHorizon, 0, 0, 0, 0};
  const int32_t sinks = std::min(in.sinkTokens, lastHorizon);
  firstStart = std::min(firstStart, lastHorizon);
  if (sinks == 0) {
    t.kvBegin = firstStart;
  } else if (firstStart > sinks) {
    t.skipBegin = sinks;
    t.skipEnd = firstStart;
  }
  if (!in.customBits.given()) {
    t.fullBegin = lastStart;
    t.fullEnd = std::max(lastStart, std::min(firstHorizon, keys - tree));
  }
  return t;
}

/// Walks the batch's row tiles in order.
template <class F>
void forEachTile(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks, F&& fn) {
  const int32_t tileRows = std::max(1, in.rowTile / (in.heads / in.kvHeads));
  int32_t row = 0;
  for (int32_t s = 0; s < in.queryLengths.size; ++s) {
    const int32_t end = row + in.queryLengths[s];
    for (; row < end; row += std::min(tileRows, end - row))
      fn(tileOf(in, masks.data() + row, s, row, std::min(tileRows, end - row)));
  }
}

/// Keys per piece, in index space, for this tile; 0: do not split.
int32_t splitLength(const AttentionPlanInputs& in, const RowTile& tile, int64_t target) {
  if (in.split == AttentionPlanInputs::kSplitNever) return 0;
  if (in.split > 0) return in.split;
  const int64_t parts = ceilDivide(tile.visited(), target);
  if (parts <= 1) return 0;
  return static_cast<int32_t>(ceilDivide(ceilDivide(tile.visited(), parts), kBlock) * kBlock);
}

/// The partition itself, shared by building and measuring: onItem and onMerge see what is made, in order.
/// @return rows of partial results
template <class OnItem, class OnMerge>
int64_t partition(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks, OnItem&& onItem,
                  OnMerge&& onMerge) {
  int64_t visited = 0, partialRows = 0;
  forEachTile(in, masks, [&](const RowTile& tile) { visited += tile.visited(); });
  // Four pieces a worker leave little idle at the end, whatever the order.
  const int64_t target =
      std::max<int64_t>(kShortestSplit, ceilDivide(visited * in.kvHeads, 4 * static_cast<int64_t>(in.workers)));
  const bool alone = in.workers == 1 && in.split == AttentionPlanInputs::kSplitAuto;
  std::vector<std::pair<int32_t, int32_t>> pieces;
  forEachTile(in, masks, [&](const RowTile& tile) {
    pieces.clear();
    const int32_t length = alone ? 0 : splitLength(in, tile, target);
    for (int64_t begin = tile.kvBegin; begin < tile.kvEnd;) {
      const int64_t end = length == 0 ? tile.kvEnd : std::min<int64_t>(tile.kvEnd, (begin / length + 1) * length);
      if (begin < tile.skipBegin || end > tile.skipEnd)
        pieces.emplace_back(static_cast<int32_t>(begin), static_cast<int32_t>(end));
      begin = end;
    }
    if (pieces.empty()) pieces.emplace_back(tile.kvBegin, tile.kvBegin);  // no key: the rows still get their zeros
    const bool split = pieces.size() > 1;
    if (partialRows + static_cast<int64_t>(pieces.size()) * tile.rows > INT32_MAX)
      throw Error(PW_INVALID_ARGUMENT, "attention plan: so short a split makes more than 2^31 partial rows");
    if (split)
      onMerge(pw_attention_merge{tile.rowBegin, tile.rows, static_cast<int32_t>(partialRows),
                                 static_cast<int32_t>(pieces.size())});
    for (const auto& [begin, end] : pieces) {
      onItem(pw_attention_item{tile.sequence, tile.rowBegin, tile.rows, begin, end, tile.skipBegin, tile.skipEnd,
                               tile.fullBegin, tile.fullEnd, split ? static_cast<int32_t>(partialRows) : -1});
      if (split) partialRows += tile.rows;
    }
  });
  return partialRows;
}

/// Keys that an item visits.
int64_t visitedBy(const pw_attention_item& item) {
  const int64_t skipped = std::min(item.kvEnd, item.skipEnd) - std::max(item.kvBegin, item.skipBegin);
  return item.kvEnd - item.kvBegin - std::max<int64_t>(0, skipped);
}

/// The page table, with the entries that items reach checked and the others cleared.
std::vector<int32_t> usedPages(const AttentionPlanInputs& in, const std::vector<pw_attention_item>& items) {
  const int64_t sequences = in.queryLengths.size;
  if (in.pageBegin.size != sequences + 1)
    throw Error(PW_INVALID_ARGUMENT, "attention plan: the page table needs " + std::to_string(sequences + 1) +
                                         " row pointers, but has " + std::to_string(in.pageBegin.size));
  if (in.pageBegin[0] < 0 || in.pageBegin[sequences] > in.pages.size)
    throw Error(PW_INVALID_ARGUMENT, "attention plan: the page table's row pointers leave its " +
                                         std::to_string(in.pages.size) + " entries");
  for (int64_t s = 0; s < sequences; ++s)
    if (in.pageBegin[s] > in.pageBegin[s + 1])
      throw Error(PW_INVALID_ARGUMENT,
                  "attention plan: the page table's row pointers decrease at sequence " + std::to_string(s));
  std::vector<int32_t> pages(static_cast<size_t>(in.pages.size), 0);
  const auto take = [&](int32_t sequence, int32_t begin, int32_t end) {
    if (begin >= end) return;
    for (int32_t i = begin / in.pageSize; i <= (end - 1) / in.pageSize; ++i) {
      const int64_t entry = static_cast<int64_t>(in.pageBegin[sequence]) + i;
      if (entry >= in.pageBegin[sequence + 1])
        throw Error(PW_INVALID_ARGUMENT, "attention plan: sequence " + std::to_string(sequence) + " has " +
                                             std::to_string(in.kvLengths[sequence]) + " keys, but only " +
                                             std::to_string(in.pageBegin[sequence + 1] - in.pageBegin[sequence]) +
                                             " pages");
      const int32_t page = in.pages[entry];
      if (page < 0 || page >= in.pagesInPool)
        throw Error(PW_INVALID_ARGUMENT, "attention plan: page " + std::to_string(page) + " of sequence " +
                                             std::to_string(sequence) + " is not one of the pool's " +
                                             std::to_string(in.pagesInPool));
      pages[static_cast<size_t>(entry)] = page;
    }
  };
  for (const pw_attention_item& item : items) {
    take(item.sequence, item.kvBegin,
         item.skipBegin < item.skipEnd ? std::min(item.kvEnd, item.skipBegin) : item.kvEnd);
    if (item.skipBegin < item.skipEnd) take(item.sequence, std::max(item.kvBegin, item.skipEnd), item.kvEnd);
  }
  return pages;
}

template <class T>
const T* pointerOrNull(const std::vector<T>& v) {
  return v.empty() ? nullptr : v.data();
}

}  // namespace

AttentionPlan::AttentionPlan(const AttentionPlanInputs& in) {
  validateAttentionInputs(in);
  const int64_t sequences = in.queryLengths.size;
  rowMasks_ = rowMasksOf(in);
  treeMasks_ = treeMasksOf(in);
  view_.partialRows = partition(
      in, rowMasks_, [&](const pw_attention_item& item) { items_.push_back(item); },
      [&](const pw_attention_merge& merge) { merges_.push_back(merge); });
  pages_ = usedPages(in, items_);
  // Long items first: what is claimed last is short.
  std::stable_sort(items_.begin(), items_.end(), [](const pw_attention_item& a, const pw_attention_item& b) {
    return visitedBy(a) * a.rows > visitedBy(b) * b.rows;
  });
  rowBegin_.assign(1, 0);
  for (int64_t s = 0; s < sequences; ++s) rowBegin_.push_back(rowBegin_.back() + in.queryLengths[s]);
  kvLengths_.assign(in.kvLengths.data, in.kvLengths.data + sequences);
  pageBegin_.assign(in.pageBegin.data, in.pageBegin.data + sequences + 1);
  if (in.treeMasks.given()) treeLengths_.assign(in.treeLengths.data, in.treeLengths.data + sequences);
  if (in.customBits.given()) {
    int64_t bits = 0;
    for (int64_t s = 0; s < sequences; ++s) {
      customBegin_.push_back(bits);
      bits += static_cast<int64_t>(in.queryLengths[s]) * in.kvLengths[s];
    }
    customBits_.assign(in.customBits.data, in.customBits.data + (bits + 7) / 8);
    customBits_.resize(customBits_.size() + 16);  // kernels read whole words
  }

  view_.sequences = static_cast<int32_t>(sequences);
  view_.rows = rowBegin_.back();
  view_.heads = in.heads;
  view_.kvHeads = in.kvHeads;
  view_.headDim = in.headDim;
  view_.pageSize = in.pageSize;
  view_.pagesInPool = in.pagesInPool;
  view_.sinkTokens = in.sinkTokens;
  view_.rowBegin = rowBegin_.data();
  view_.kvLengths = kvLengths_.data();
  view_.pageBegin = pageBegin_.data();
  view_.pages = pages_.data();
  view_.rowMasks = rowMasks_.data();
  view_.treeMasks = pointerOrNull(treeMasks_);
  view_.treeLengths = pointerOrNull(treeLengths_);
  view_.customBits = pointerOrNull(customBits_);
  view_.customBegin = pointerOrNull(customBegin_);
  view_.itemCount = static_cast<int32_t>(items_.size());
  view_.mergeCount = static_cast<int32_t>(merges_.size());
  view_.items = items_.data();
  view_.merges = merges_.data();
  for (const pw_attention_item& item : items_)
    view_.multiplyAdds += visitedBy(item) * item.rows * in.heads * static_cast<int64_t>(in.headDim);
}

int64_t AttentionPlan::measureWorkspace(const AttentionPlanInputs& in) {
  validateAttentionInputs(in);
  const auto ignore = [](const auto&) {};
  return pw_attention_workspace_bytes(partition(in, rowMasksOf(in), ignore, ignore), in.heads, in.headDim);
}

}  // namespace pw
