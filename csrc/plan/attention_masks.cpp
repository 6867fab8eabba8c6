// SPDX-License-Identifier: Apache-2.0
#include "plan/attention_masks.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "core/error.h"

namespace pw {
namespace {

[[noreturn]] void reject(const std::string& message) { throw Error(PW_INVALID_ARGUMENT, "attention plan: " + message); }

void requireRange(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high)
    reject(std::string(name) + " is " + std::to_string(value) + ", but must be from " + std::to_string(low) + " to " +
           std::to_string(high));
}

std::string at(const char* name, int64_t index) { return std::string(name) + "[" + std::to_string(index) + "]"; }

void validateLengths(const AttentionPlanInputs& in, int64_t* rows, int64_t* customBits) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  const int64_t sequences = in.queryLengths.size;
  for (int64_t s = 0; s < sequences; ++s) {
    requireRange(at("queryLengths", s).c_str(), in.queryLengths[s], 0, kMax);
    requireRange(at("kvLengths", s).c_str(), in.kvLengths[s], 0, kMax - 64);
    *rows += in.queryLengths[s];
    *customBits += static_cast<int64_t>(in.queryLengths[s]) * in.kvLengths[s];
  }
  requireRange("the number of rows", *rows, 0, kMax);
}

void validateTree(const AttentionPlanInputs& in, int64_t rows) {
  const int64_t sequences = in.queryLengths.size;
  if (in.treeMasks.size != rows)
    reject("treeMasks has " + std::to_string(in.treeMasks.size) + " masks, but there are " + std::to_string(rows) +
           " rows");
  if (in.treeLengths.size != sequences) reject("treeLengths needs one entry per sequence");
  int64_t row = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    const int32_t length = in.treeLengths[s];
    requireRange(at("treeLengths", s).c_str(), length, 0, std::min<int64_t>(64, in.kvLengths[s]));
    if (length > 0 && in.queryLengths[s] > length)
      reject(at("queryLengths", s) + " is " + std::to_string(in.queryLengths[s]) + ", but the tree has only " +
             std::to_string(length) + " tokens");
    const uint64_t allowed = length == 0 ? 0 : ~uint64_t{0} >> (64 - length);
    for (int32_t i = 0; i < in.queryLengths[s]; ++i, ++row)
      if (in.treeMasks[row] & ~allowed) reject(at("treeMasks", row) + " names tokens past its tree");
  }
}

void validateSegments(const AttentionPlanInputs& in) {
  for (int64_t i = 0; i < in.segments.size; ++i) {
    const AttentionSegment& segment = in.segments[i];
    requireRange("a segment's sequence", segment.sequence, 0, in.queryLengths.size - 1);
    const int32_t keys = in.kvLengths[segment.sequence];
    if (segment.begin < 0 || segment.begin > segment.end || segment.end > keys)
      reject("segment [" + std::to_string(segment.begin) + ", " + std::to_string(segment.end) +
             ") is not within the sequence's " + std::to_string(keys) + " keys");
  }
}

void validatePrefixes(const AttentionPlanInputs& in) {
  int32_t next = 0;
  for (int64_t i = 0; i < in.prefixes.size; ++i) {
    const AttentionPrefix& prefix = in.prefixes[i];
    requireRange("a shared prefix's first sequence", prefix.sequenceBegin, next, in.queryLengths.size);
    requireRange("the end of a shared prefix's sequences", prefix.sequenceEnd, prefix.sequenceBegin,
                 in.queryLengths.size);
    next = prefix.sequenceEnd;
    for (int32_t s = prefix.sequenceBegin; s < prefix.sequenceEnd; ++s)
      requireRange("the keys of a shared prefix", prefix.keys, 0, in.kvLengths[s] - treeLengthOf(in, s));
  }
}

}  // namespace

void validateAttentionInputs(const AttentionPlanInputs& in) {
  requireRange("heads", in.heads, 1, 1 << 16);
  requireRange("kvHeads", in.kvHeads, 1, in.heads);
  if (in.heads % in.kvHeads != 0)
    reject("heads is " + std::to_string(in.heads) + ", but must be a multiple of kvHeads, " +
           std::to_string(in.kvHeads));
  requireRange("headDim", in.headDim, 1, 1024);
  requireRange("pageSize", in.pageSize, 1, 1 << 20);
  requireRange("pagesInPool", in.pagesInPool, 0, std::numeric_limits<int32_t>::max());
  requireRange("window", in.window, 0, std::numeric_limits<int32_t>::max());
  requireRange("sinkTokens", in.sinkTokens, 0, std::numeric_limits<int32_t>::max());
  requireRange("workers", in.workers, 1, 1 << 20);
  requireRange("split", in.split, AttentionPlanInputs::kSplitNever, std::numeric_limits<int32_t>::max());
  if (in.splits.given()) {
    if (in.splits.size != in.queryLengths.size) reject("splits needs one entry per sequence");
    for (int64_t s = 0; s < in.splits.size; ++s)
      if (in.splits[s] == AttentionPlanInputs::kSplitAuto || in.splits[s] < AttentionPlanInputs::kSplitNever)
        reject(at("splits", s) + " is " + std::to_string(in.splits[s]) + ", but must be positive, or -1 for none");
    if (in.prefixes.size > 0) reject("a shared prefix and a split per sequence exclude each other");
  }
  if (in.kvLengths.size != in.queryLengths.size)
    reject("there are " + std::to_string(in.queryLengths.size) + " query lengths but " +
           std::to_string(in.kvLengths.size) + " kv lengths");
  int64_t rows = 0, bits = 0;
  validateLengths(in, &rows, &bits);
  if (in.treeMasks.given() && in.customBits.given()) reject("a tree mask and custom bits exclude each other");
  if (in.treeMasks.given()) validateTree(in, rows);
  if (in.customBits.given() && in.customBits.size < (bits + 7) / 8)
    reject("customBits has " + std::to_string(in.customBits.size) + " bytes, but " + std::to_string(bits) +
           " bits are needed");
  validateSegments(in);
  if (in.prefixes.size > 0 && in.customBits.given()) reject("a shared prefix and custom bits exclude each other");
  validatePrefixes(in);
}

std::vector<pw_row_mask> rowMasksOf(const AttentionPlanInputs& in) {
  std::vector<pw_row_mask> masks;
  for (int64_t s = 0; s < in.queryLengths.size; ++s) {
    const int32_t keys = in.kvLengths[s], queries = in.queryLengths[s], tree = treeLengthOf(in, s);
    for (int32_t i = 0; i < queries; ++i) {
      pw_row_mask m;
      m.position = keys - queries + i;
      m.horizon = in.causal && !in.customBits.given() ? std::clamp(m.position + 1, 0, keys) : keys;
      if (tree > 0) {  // a node's position is its depth, not its place in the batch
        m.position = keys - tree + std::popcount(in.treeMasks[static_cast<int64_t>(masks.size())]) - 1;
        m.horizon = keys;
      }
      m.start = in.window > 0 ? std::max(0, m.position - in.window + 1) : 0;
      masks.push_back(m);
    }
  }
  std::vector<int64_t> firstRow(static_cast<size_t>(in.queryLengths.size) + 1, 0);
  for (int64_t s = 0; s < in.queryLengths.size; ++s)
    firstRow[static_cast<size_t>(s) + 1] = firstRow[static_cast<size_t>(s)] + in.queryLengths[s];
  for (int64_t k = 0; k < in.segments.size; ++k) {
    const AttentionSegment& segment = in.segments[k];
    const int32_t queries = in.queryLengths[segment.sequence];
    const int32_t first = in.kvLengths[segment.sequence] - queries;
    for (int32_t j = std::max(segment.begin, std::max(first, 0)); j < segment.end; ++j) {
      pw_row_mask& m = masks[static_cast<size_t>(firstRow[static_cast<size_t>(segment.sequence)] + j - first)];
      m.horizon = std::max(m.horizon, segment.end);
    }
  }
  return masks;
}

std::vector<uint64_t> treeMasksOf(const AttentionPlanInputs& in) {
  std::vector<uint64_t> masks;
  if (!in.treeMasks.given()) return masks;
  masks.assign(in.treeMasks.data, in.treeMasks.data + in.treeMasks.size);
  if (in.window <= 0) return masks;
  // Nodes come after their parents, so the set bits from the top are the row itself, its parent, its grandparent...
  for (uint64_t& mask : masks)
    for (int excess = std::popcount(mask) - in.window; excess > 0; --excess) mask &= mask - 1;
  return masks;
}

}  // namespace pw
