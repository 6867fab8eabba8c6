// SPDX-License-Identifier: Apache-2.0
#include "plan/attention_partition.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "core/error.h"
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

/// What rows from `rowBegin` on see, which are all of one sequence; `keys` and `tree` are those of the sequence.
RowTile tileOf(const AttentionPlanInputs& in, const pw_row_mask* masks, int32_t sequence, int32_t rowBegin,
               int32_t rows, int32_t keys, int32_t tree) {
  int32_t firstStart = keys, lastStart = 0, firstHorizon = keys, lastHorizon = 0;
  for (int32_t row = rowBegin; row < rowBegin + rows; ++row) {
    firstStart = std::min(firstStart, masks[row].start);
    lastStart = std::max(lastStart, masks[row].start);
    firstHorizon = std::min(firstHorizon, masks[row].horizon);
    lastHorizon = std::max(lastHorizon, masks[row].horizon);
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

/// Leaves of a tile's keys those in [begin, end).
void clip(RowTile* t, int32_t begin, int32_t end) {
  t->kvBegin = std::max(t->kvBegin, begin);
  t->kvEnd = std::min(t->kvEnd, end);
  if (t->skipBegin < t->skipEnd) {
    if (t->kvBegin >= t->skipBegin) t->kvBegin = std::max(t->kvBegin, t->skipEnd);
    if (t->kvEnd <= t->skipEnd) t->kvEnd = std::min(t->kvEnd, t->skipBegin);
    if (t->kvBegin >= t->skipBegin || t->kvEnd <= t->skipEnd) t->skipBegin = t->skipEnd = 0;
  }
  t->kvBegin = std::min(t->kvBegin, t->kvEnd);
  t->fullEnd = std::min(t->fullEnd, t->kvEnd);
  t->fullBegin = std::min(std::max(t->fullBegin, t->kvBegin), t->fullEnd);
}

int32_t splitOf(const AttentionPlanInputs& in, int32_t sequence) {
  return in.splits.given() ? in.splits[sequence] : in.split;
}

/// Calls fn(first row, rows) for each row tile of rows [begin, end), which are split so.
template <class F>
void forEachRowTile(const AttentionPlanInputs& in, int32_t split, int32_t begin, int32_t end, F&& fn) {
  const int32_t group = in.heads / in.kvHeads;
  // On the CPU how rows are packed decides about the last bits, so with splits of a fixed length each row is alone.
  const int32_t packedOnCpu = split > 0 ? group : kCpuRowTile;
  const int32_t packed = in.gpu ? attentionRowTile((static_cast<int64_t>(end) - begin) * group) : packedOnCpu;
  const int32_t tileRows = std::max(1, packed / group);
  for (int32_t row = begin; row < end; row += std::min(tileRows, end - row)) fn(row, std::min(tileRows, end - row));
}

/// A prefix that several sequences with rows share, and these rows.
struct SharedPrefix {
  int32_t sequence, sequenceEnd, keys;
  int32_t rowBegin, rowEnd;
};

std::vector<SharedPrefix> sharedPrefixes(const AttentionPlanInputs& in) {
  std::vector<SharedPrefix> shared;
  int32_t row = 0, sequence = 0;
  for (int64_t i = 0; i < in.prefixes.size; ++i) {
    const AttentionPrefix& prefix = in.prefixes[i];
    for (; sequence < prefix.sequenceBegin; ++sequence) row += in.queryLengths[sequence];
    SharedPrefix s{sequence, prefix.sequenceEnd, prefix.keys, row, row};
    for (; sequence < prefix.sequenceEnd; ++sequence) s.rowEnd += in.queryLengths[sequence];
    row = s.rowEnd;
    if (s.keys > 0 && s.sequenceEnd - s.sequence > 1 && s.rowEnd > s.rowBegin) shared.push_back(s);
  }
  return shared;
}

/// What rows of a prefix's readers see of the prefix.
RowTile prefixTile(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks, const SharedPrefix& prefix,
                   int32_t rowBegin, int32_t rows) {
  RowTile tile = tileOf(in, masks.data(), prefix.sequence, rowBegin, rows, std::numeric_limits<int32_t>::max(), 0);
  clip(&tile, 0, prefix.keys);
  return tile;
}

/// Walks the batch's row tiles in order, over the keys that are not in a shared prefix: fn(tile, prefix or null).
template <class F>
void forEachTile(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks,
                 const std::vector<SharedPrefix>& prefixes, F&& fn) {
  int32_t row = 0;
  auto prefix = prefixes.begin();
  for (int32_t s = 0; s < in.queryLengths.size; row += in.queryLengths[s++]) {
    while (prefix != prefixes.end() && prefix->sequenceEnd <= s) ++prefix;
    const SharedPrefix* shared = prefix != prefixes.end() && prefix->sequence <= s ? &*prefix : nullptr;
    forEachRowTile(in, splitOf(in, s), row, row + in.queryLengths[s], [&](int32_t begin, int32_t rows) {
      RowTile tile = tileOf(in, masks.data(), s, begin, rows, in.kvLengths[s], treeLengthOf(in, s));
      if (shared) clip(&tile, shared->keys, in.kvLengths[s]);
      fn(tile, shared);
    });
  }
}

/// How the keys of tiles are cut into pieces.
class Cutter {
 public:
  Cutter(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks,
         const std::vector<SharedPrefix>& prefixes)
      : in_(in) {
    if (in.splits.given() || in.split != AttentionPlanInputs::kSplitAuto) return;
    if (!in.gpu && in.workers == 1) return;
    std::vector<int64_t> visited;
    forEachTile(in, masks, prefixes,
                [&](const RowTile& tile, const SharedPrefix*) { visited.push_back(tile.visited()); });
    for (const SharedPrefix& prefix : prefixes) {
      const RowTile all = prefixTile(in, masks, prefix, prefix.rowBegin, prefix.rowEnd - prefix.rowBegin);
      forEachRowTile(in, in.split, prefix.rowBegin, prefix.rowEnd,
                     [&](int32_t, int32_t) { visited.push_back(all.visited()); });
    }
    if (in.gpu) {
      length_ = evenPieceLength(visited, in.kvHeads, in.workers);
      even_ = true;
    } else {
      const int64_t total = std::accumulate(visited.begin(), visited.end(), int64_t{0});
      // Four pieces a worker leave little idle at the end, whatever the order.
      target_ = std::max<int64_t>(kShortestSplit, ceilDivide(total * in.kvHeads, 4 * int64_t{in.workers}));
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
    if (target_ == 0) return std::max(0, splitOf(in_, tile.sequence));
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

  const AttentionPlanInputs& in_;
  int64_t length_ = 0, target_ = 0;
  bool even_ = false;
};

/// The partition itself: onItem and onMerge see what is made, in order.
class Partition {
 public:
  using OnItem = std::function<void(const pw_attention_item&)>;
  using OnMerge = std::function<void(const pw_attention_merge&)>;

  Partition(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks, const OnItem& onItem,
            const OnMerge& onMerge)
      : in_(in),
        masks_(masks),
        prefixes_(sharedPrefixes(in)),
        cutter_(in, masks, prefixes_),
        onItem_(onItem),
        onMerge_(onMerge) {}

  /// @return rows of partial results
  int64_t run() {
    for (const SharedPrefix& prefix : prefixes_) addPrefix(prefix);
    forEachTile(in_, masks_, prefixes_, [&](const RowTile& tile, const SharedPrefix* shared) {
      cutter_.cut(tile, &pieces_);
      if (pieces_.empty() && !shared) pieces_.emplace_back(tile.kvBegin, tile.kvBegin);  // the rows still get zeros
      const bool joined = shared || pieces_.size() > 1;
      if (joined) {
        pw_attention_merge merge{tile.rowBegin,
                                 tile.rows,
                                 static_cast<int32_t>(partialRows_),
                                 static_cast<int32_t>(pieces_.size()),
                                 0,
                                 0,
                                 0,
                                 0};
        if (shared) {
          const PrefixParts& parts = prefixParts_[static_cast<size_t>(shared - prefixes_.data())];
          merge.sharedPartial = parts.partial;
          merge.sharedSplits = parts.splits;
          merge.sharedRows = shared->rowEnd - shared->rowBegin;
          merge.sharedRowBegin = shared->rowBegin;
        }
        onMerge_(merge);
      }
      for (const auto& [begin, end] : pieces_) {
        addItem(tile, begin, end, joined ? partialRows_ : -1);
        if (joined) takePartialRows(tile.rows);
      }
    });
    return partialRows_;
  }

 private:
  struct PrefixParts {
    int32_t partial, splits;
  };

  void takePartialRows(int64_t rows) {
    partialRows_ += rows;
    if (partialRows_ > std::numeric_limits<int32_t>::max())
      throw Error(PW_INVALID_ARGUMENT, "attention plan: so short a split makes more than 2^31 partial rows");
  }

  void addItem(const RowTile& t, int32_t begin, int32_t end, int64_t partial) {
    onItem_(pw_attention_item{t.sequence, t.rowBegin, t.rows, begin, end, t.skipBegin, t.skipEnd, t.fullBegin,
                              t.fullEnd, static_cast<int32_t>(partial), in_.kvLengths[t.sequence], 0});
  }

  /// All rows have a partial result for each piece, even if they see none of its keys.
  void addPrefix(const SharedPrefix& prefix) {
    const int32_t rows = prefix.rowEnd - prefix.rowBegin;
    cutter_.cut(prefixTile(in_, masks_, prefix, prefix.rowBegin, rows), &pieces_);
    prefixParts_.push_back({static_cast<int32_t>(partialRows_), static_cast<int32_t>(pieces_.size())});
    for (const auto& [begin, end] : pieces_) {
      forEachRowTile(in_, in_.split, prefix.rowBegin, prefix.rowEnd,
                     [&, begin = begin, end = end](int32_t row, int32_t count) {
                       RowTile tile = prefixTile(in_, masks_, prefix, row, count);
                       clip(&tile, begin, end);
                       addItem(tile, tile.kvBegin, tile.kvEnd, partialRows_ + row - prefix.rowBegin);
                     });
      takePartialRows(rows);
    }
  }

  const AttentionPlanInputs& in_;
  const std::vector<pw_row_mask>& masks_;
  const std::vector<SharedPrefix> prefixes_;
  const Cutter cutter_;
  const OnItem& onItem_;
  const OnMerge& onMerge_;
  std::vector<std::pair<int32_t, int32_t>> pieces_;
  std::vector<PrefixParts> prefixParts_;
  int64_t partialRows_ = 0;
};

}  // namespace

int64_t partitionAttention(const AttentionPlanInputs& in, const std::vector<pw_row_mask>& masks,
                           const std::function<void(const pw_attention_item&)>& onItem,
                           const std::function<void(const pw_attention_merge&)>& onMerge) {
  return Partition(in, masks, onItem, onMerge).run();
}

}  // namespace pw
