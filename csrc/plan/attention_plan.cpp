// SPDX-License-Identifier: Apache-2.0
#include "plan/attention_plan.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "core/error.h"
#include "plan/attention_image.h"
#include "plan/attention_masks.h"
#include "plan/attention_split.h"

namespace pw {
namespace {

/// Keys are visited in blocks that begin at multiples of this; splits do too, so that no block is cut for nothing.
constexpr int32_t kBlock = 64;
/// Packed rows of an item on the CPU, about.
constexpr int32_t kCpuRowTile = 64;
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
  const int32_t group = in.heads / in.kvHeads;
  int32_t row = 0;
  for (int32_t s = 0; s < in.queryLengths.size; ++s) {
    const int32_t end = row + in.queryLengths[s];
    const int32_t packed = in.gpu ? attentionRowTile(static_cast<int64_t>(in.queryLengths[s]) * group) : kCpuRowTile;
    const int32_t tileRows = std::max(1, packed / group);
    for (; row < end; row += std::min(tileRows, end - row))
      fn(tileOf(in, masks.data() + row, s, row, std::min(tileRows, end - row)));
  }
}

/// How the keys of tiles are cut into pieces.
class Cutter {
 public:
  Cutter(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks) {
    if (in.split == AttentionPlanInputs::kSplitNever) return;
    if (in.split > 0) {
      length_ = in.split;
    } else if (in.gpu) {
      std::vector<int64_t> visited;
      forEachTile(in, masks, [&](const RowTile& tile) { visited.push_back(tile.visited()); });
      length_ = evenPieceLength(visited, in.kvHeads, in.workers);
      even_ = true;
    } else if (in.workers > 1) {
      int64_t visited = 0;
      forEachTile(in, masks, [&](const RowTile& tile) { visited += tile.visited(); });
      // Four pieces a worker leave little idle at the end, whatever the order.
      target_ = std::max<int64_t>(kShortestSplit, ceilDivide(visited * in.kvHeads, 4 * int64_t{in.workers}));
    }
  }

  /// Pieces as ranges of keys, in order; none for a tile that sees no key.
  void cut(const RowTile& tile, std::vector<std::pair<int32_t, int32_t>>* pieces) const {
    pieces->clear();
    if (even_ && length_ > 0) return cutEvenly(tile, pieces);
    const int64_t length = lengthFor(tile);
    for (int64_t begin = tile.kvBegin; begin < tile.kvEnd;) {
      const int64_t end = length == 0 ? tile.kvEnd : std::min<int64_t>(tile.kvEnd, (begin / length + 1) * length);
      if (begin < tile.skipBegin || end > tile.skipEnd)
        pieces->emplace_back(static_cast<int32_t>(begin), static_cast<int32_t>(end));
      begin = end;
    }
  }

 private:
  /// Keys per piece; 0: do not split. Pieces begin at multiples of it, so that they do not depend on the other rows.
  int64_t lengthFor(const RowTile& tile) const {
    if (target_ == 0) return length_;
    const int64_t parts = ceilDivide(tile.visited(), target_);
    return parts <= 1 ? 0 : ceilDivide(ceilDivide(tile.visited(), parts), kBlock) * kBlock;
  }

  /// Pieces of the same number of visited keys, as far as they go.
  void cutEvenly(const RowTile& tile, std::vector<std::pair<int32_t, int32_t>>* pieces) const {
    const int64_t visited = tile.visited(), parts = ceilDivide(visited, length_);
    if (visited == 0) return;
    const int64_t length = ceilDivide(ceilDivide(visited, parts), 8) * 8, gap = tile.skipEnd - tile.skipBegin;
    const auto keyAt = [&](int64_t seen) {
      const int64_t key = tile.kvBegin + seen;
      return static_cast<int32_t>(gap > 0 && key > tile.skipBegin ? key + gap : key);
    };
    for (int64_t seen = 0; seen < visited; seen += length)
      pieces->emplace_back(keyAt(seen), keyAt(std::min(visited, seen + length)));
  }

  int64_t length_ = 0, target_ = 0;
  bool even_ = false;
};

/// The partition itself, shared by building and measuring: onItem and onMerge see what is made, in order.
/// @return rows of partial results
template <class OnItem, class OnMerge>
int64_t partition(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks, OnItem&& onItem,
                  OnMerge&& onMerge) {
  const Cutter cutter(in, masks);
  int64_t partialRows = 0;
  std::vector<std::pair<int32_t, int32_t>> pieces;
  forEachTile(in, masks, [&](const RowTile& tile) {
    cutter.cut(tile, &pieces);
    if (pieces.empty()) pieces.emplace_back(tile.kvBegin, tile.kvBegin);  // no key: the rows still get their zeros
    const bool split = pieces.size() > 1;
    if (partialRows + static_cast<int64_t>(pieces.size()) * tile.rows > INT32_MAX)
      throw Error(PW_INVALID_ARGUMENT, "attention plan: so short a split makes more than 2^31 partial rows");
    if (split)
      onMerge(pw_attention_merge{tile.rowBegin, tile.rows, static_cast<int32_t>(partialRows),
                                 static_cast<int32_t>(pieces.size())});
    for (const auto& [begin, end] : pieces) {
      onItem(pw_attention_item{tile.sequence, tile.rowBegin, tile.rows, begin, end, tile.skipBegin, tile.skipEnd,
                               tile.fullBegin, tile.fullEnd, split ? static_cast<int32_t>(partialRows) : -1,
                               in.kvLengths[tile.sequence], 0});
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

void validatePageBegin(const AttentionPlanInputs& in) {
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
}

/// The page table, with the entries that items reach checked and the others cleared.
std::vector<int32_t> usedPages(const AttentionPlanInputs& in, const std::vector<pw_attention_item>& items) {
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

/// Which row tile an item is for: see pw_attention_tile_rows.
int32_t tileIndex(const pw_attention_item& item, int32_t group) {
  const int64_t packed = static_cast<int64_t>(item.rows) * group;
  int32_t tile = 0;
  while (tile + 1 < PW_ATTENTION_TILES && packed > pw_attention_tile_rows(tile)) ++tile;
  return tile;
}

std::vector<int64_t> customOffsets(const AttentionPlanInputs& in) {
  std::vector<int64_t> begin(1, 0);
  for (int64_t s = 0; s < in.queryLengths.size; ++s)
    begin.push_back(begin.back() + static_cast<int64_t>(in.queryLengths[s]) * in.kvLengths[s]);
  return begin;
}

template <class T>
std::vector<T> copyOf(const Span<T>& values, int64_t count) {
  return std::vector<T>(values.data, values.data + count);
}

}  // namespace

AttentionPlan::AttentionPlan(const AttentionPlanInputs& in) {
  validateAttentionInputs(in);
  validatePageBegin(in);
  const int64_t sequences = in.queryLengths.size;
  const int32_t group = in.heads / in.kvHeads;
  const std::vector<pw_row_mask> rowMasks = rowMasksOf(in);
  std::vector<pw_attention_item> items;
  std::vector<pw_attention_merge> merges;
  pw_attention_image header{};
  header.partialRows = partition(
      in, rowMasks,
      [&](const pw_attention_item& item) {
        items.push_back(item);
        items.back().pageBegin = in.pageBegin[item.sequence];
      },
      [&](const pw_attention_merge& merge) { merges.push_back(merge); });
  const std::vector<int32_t> pages = usedPages(in, items);
  // Long items first: what is claimed last is short.
  std::stable_sort(items.begin(), items.end(), [&](const pw_attention_item& a, const pw_attention_item& b) {
    const int32_t tileA = tileIndex(a, group), tileB = tileIndex(b, group);
    return tileA != tileB ? tileA < tileB : visitedBy(a) * a.rows > visitedBy(b) * b.rows;
  });
  for (const pw_attention_item& item : items) {
    ++header.tileItems[tileIndex(item, group)];
    view_.multiplyAdds += visitedBy(item) * item.rows * in.heads * static_cast<int64_t>(in.headDim);
  }
  for (const pw_attention_merge& merge : merges) view_.mergeRows = std::max(view_.mergeRows, merge.rows);
  std::vector<int32_t> rowBegin(1, 0);
  for (int64_t s = 0; s < sequences; ++s) rowBegin.push_back(rowBegin.back() + in.queryLengths[s]);

  AttentionImage image(items);
  header.itemCount = view_.itemCount = static_cast<int32_t>(items.size());
  header.mergeCount = view_.mergeCount = static_cast<int32_t>(merges.size());
  header.rows = view_.rows = rowBegin.back();
  header.sinkTokens = view_.sinkTokens = in.sinkTokens;
  header.mergesAt = image.add(merges);
  header.rowBeginAt = image.add(rowBegin);
  header.pagesAt = image.add(pages);
  header.rowMasksAt = image.add(rowMasks);
  header.treeMasksAt = image.add(treeMasksOf(in));
  if (in.treeMasks.given()) header.treeLengthsAt = image.add(copyOf(in.treeLengths, sequences));
  if (in.customBits.given()) {
    const std::vector<int64_t> begin = customOffsets(in);
    std::vector<uint8_t> bits = copyOf(in.customBits, (begin.back() + 7) / 8);
    bits.resize(bits.size() + 16);  // kernels read whole words
    header.customBitsAt = image.add(bits);
    header.customBeginAt = image.add(begin);
  }
  const int64_t kvLengthsAt = image.add(copyOf(in.kvLengths, sequences)),
                pageBeginAt = image.add(copyOf(in.pageBegin, sequences + 1));
  image_ = image.finish(header);

  static std::atomic<uint64_t> plans{0};
  view_.id = ++plans;
  view_.image = reinterpret_cast<const pw_attention_image*>(image_.data());
  view_.imageBytes = static_cast<int64_t>(image_.size());
  view_.sequences = static_cast<int32_t>(sequences);
  view_.heads = in.heads;
  view_.kvHeads = in.kvHeads;
  view_.headDim = in.headDim;
  view_.pageSize = in.pageSize;
  view_.pagesInPool = in.pagesInPool;
  view_.partialRows = header.partialRows;
  view_.items = reinterpret_cast<const pw_attention_item*>(view_.image + 1);
  setPointer(&view_.merges, header.mergesAt);
  setPointer(&view_.rowBegin, header.rowBeginAt);
  setPointer(&view_.kvLengths, kvLengthsAt);
  setPointer(&view_.pageBegin, pageBeginAt);
  setPointer(&view_.pages, header.pagesAt);
  setPointer(&view_.rowMasks, header.rowMasksAt);
  setPointer(&view_.treeMasks, header.treeMasksAt);
  setPointer(&view_.treeLengths, header.treeLengthsAt);
  setPointer(&view_.customBits, header.customBitsAt);
  setPointer(&view_.customBegin, header.customBeginAt);
}

int64_t AttentionPlan::measureWorkspace(const AttentionPlanInputs& in) {
  validateAttentionInputs(in);
  const auto ignore = [](const auto&) {};
  return pw_attention_workspace_bytes(partition(in, rowMasksOf(in), ignore, ignore), in.heads, in.headDim);
}

}  // namespace pw
