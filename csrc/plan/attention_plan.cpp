// SPDX-License-Identifier: Apache-2.0
#include "plan/attention_plan.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "core/error.h"
#include "plan/attention_image.h"
#include "plan/attention_masks.h"
#include "plan/attention_partition.h"

namespace pw {
namespace {

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
  // A prefix is visited through its first sequence; what was reached there is everybody's.
  for (int64_t i = 0; i < in.prefixes.size; ++i) {
    const AttentionPrefix& prefix = in.prefixes[i];
    for (int32_t s = prefix.sequenceBegin; s < prefix.sequenceEnd; ++s)
      for (int32_t page = 0; page < (prefix.keys + in.pageSize - 1) / in.pageSize; ++page) {
        int32_t& entry = pages[static_cast<size_t>(in.pageBegin[s] + page)];
        if (entry == 0) entry = pages[static_cast<size_t>(in.pageBegin[prefix.sequenceBegin] + page)];
      }
  }
  return pages;
}

/// Sequences of a shared prefix have the same pages there.
void validatePrefixPages(const AttentionPlanInputs& in) {
  for (int64_t i = 0; i < in.prefixes.size; ++i) {
    const AttentionPrefix& prefix = in.prefixes[i];
    const int32_t pages = (prefix.keys + in.pageSize - 1) / in.pageSize;
    for (int32_t s = prefix.sequenceBegin; s < prefix.sequenceEnd; ++s) {
      const int32_t* own = in.pages.data + in.pageBegin[s];
      const int32_t* first = in.pages.data + in.pageBegin[prefix.sequenceBegin];
      if (in.pageBegin[s + 1] - in.pageBegin[s] < pages || !std::equal(own, own + pages, first))
        throw Error(PW_INVALID_ARGUMENT, "attention plan: sequence " + std::to_string(s) + " does not begin with the " +
                                             std::to_string(pages) + " pages of the prefix that it shares");
    }
  }
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
  validatePrefixPages(in);
  const int64_t sequences = in.queryLengths.size;
  const int32_t group = in.heads / in.kvHeads;
  const std::vector<pw_row_mask> rowMasks = rowMasksOf(in);
  std::vector<pw_attention_item> items;
  std::vector<pw_attention_merge> merges;
  pw_attention_image header{};
  header.partialRows = partitionAttention(
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

uint32_t AttentionPlan::kernels() const noexcept {
  uint32_t bits = view_.mergeCount > 0 ? 1u << PW_ATTENTION_TILES : 0;
  for (int tile = 0; tile < PW_ATTENTION_TILES; ++tile) bits |= view_.image->tileItems[tile] > 0 ? 1u << tile : 0;
  return bits;
}

int64_t AttentionPlan::measureWorkspace(const AttentionPlanInputs& in) {
  validateAttentionInputs(in);
  const auto ignore = [](const auto&) {};
  return pw_attention_workspace_bytes(partitionAttention(in, rowMasksOf(in), ignore, ignore), in.heads, in.headDim);
}

}  // namespace pw
