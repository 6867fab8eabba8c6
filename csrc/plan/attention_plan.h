// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/ref.h"
#include "pagewarp/attention.h"

namespace pw {

/// A read-only array of the caller.
template <class T>
struct Span {
  const T* data = nullptr;
  int64_t size = 0;
  bool given() const noexcept { return data != nullptr; }
  const T& operator[](int64_t i) const noexcept { return data[i]; }
};

/// A run of keys of one sequence whose tokens see each other in both directions (an image inside a causal prompt).
struct AttentionSegment {
  int32_t sequence;
  int32_t begin, end;
};

/// The first `keys` keys of all sequences in [sequenceBegin, sequenceEnd) are the same pages: they are read once for
/// all of these sequences' rows (cascade inference; Ye et al., 2024, and ChunkAttention; Ye et al., 2024).
struct AttentionPrefix {
  int32_t sequenceBegin, sequenceEnd;
  int32_t keys;
};

/// What a plan is made from.
struct AttentionPlanInputs {
  Span<int32_t> queryLengths;  ///< rows of each sequence: its last tokens
  Span<int32_t> kvLengths;     ///< keys of each sequence, those rows included
  Span<int32_t> pageBegin;     ///< [sequences + 1] into pages
  Span<int32_t> pages;
  int32_t heads = 0, kvHeads = 0, headDim = 0, pageSize = 0, pagesInPool = 0;

  bool causal = true;      ///< bottom-right aligned: the last row sees every key
  int32_t window = 0;      ///< > 0: only the last `window` keys up to the row's own, and the sinks
  int32_t sinkTokens = 0;  ///< first keys that a window never hides
  Span<AttentionSegment> segments;
  Span<uint64_t> treeMasks;   ///< [rows]: ancestors, itself included, among the sequence's last treeLength keys
  Span<int32_t> treeLengths;  ///< [sequences], 0 to 64; with treeMasks
  Span<uint8_t> customBits;   ///< packed, low bit first: sequence after sequence, queryLength x kvLength bits each

  Span<AttentionPrefix> prefixes;  ///< in order, disjoint; not with custom bits

  bool gpu = false;     ///< row tiles and pieces for thread blocks, see attention_split.h; any plan runs on any device
  int32_t workers = 1;  ///< what runs items at the same time: threads or multiprocessors
  /// kSplitAuto splits keys so that all workers have work; kSplitNever and a positive length give each row a result
  /// that does not depend on the other sequences of the batch, bit for bit; on the CPU a positive length gives it one
  /// that does not depend on the sequence's other rows either, be they a chain or a tree: it is that of decoding.
  int32_t split = kSplitAuto;
  Span<int32_t> splits;  ///< [sequences], none of them kSplitAuto: each sequence's own in place of `split`; no prefixes
  static constexpr int32_t kSplitAuto = 0, kSplitNever = -1;
};

/// How a ragged batch of paged attention is cut into work. Immutable; made on the host, without a device.
class AttentionPlan final : public RefCounted {
 public:
  /// Validates the inputs and copies what it needs from them.
  /// @throws Error(PW_INVALID_ARGUMENT) for lengths, page tables or masks that do not fit together
  explicit AttentionPlan(const AttentionPlanInputs& inputs);

  /// Over host memory; valid as long as the plan.
  const pw_attention_plan& view() const noexcept { return view_; }
  int64_t workspaceBytes() const noexcept {
    return pw_attention_workspace_bytes(view_.partialRows, view_.heads, view_.headDim);
  }

  /// Which kernels the plan takes on a GPU: a bit for each row tile that it has items of, and one for joining partial
  /// results.
  uint32_t kernels() const noexcept;

  /// What the plan's workspaceBytes would be, without building it: the same partition, nothing stored. Page indices are
  /// not looked at and may be missing.
  static int64_t measureWorkspace(const AttentionPlanInputs& inputs);

 private:
  /// The array at `at` of the image; null where there is none.
  template <class T>
  void setPointer(const T** pointer, int64_t at) const noexcept {
    *pointer = at == 0 ? nullptr : reinterpret_cast<const T*>(image_.data() + at);
  }

  pw_attention_plan view_{};
  std::vector<std::byte> image_;
};

}  // namespace pw
