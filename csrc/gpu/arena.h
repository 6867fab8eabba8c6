// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <vector>

#include "gpu/memory.h"

namespace pw::gpu {

/// Device memory that is handed out piece by piece and taken back all at once. It grows and never moves: after
/// rewind(), the same requests get the same addresses.
class Arena {
 public:
  explicit Arena(Ref<DeviceMemory> memory) : memory_(std::move(memory)) {}

  /// 256-byte aligned, valid until rewind(). @throws Error(PW_OUT_OF_MEMORY)
  void* take(size_t bytes) {
    bytes = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
    while (chunk_ < chunks_.size() && used_ + bytes > chunks_[chunk_]->bytes()) {
      ++chunk_;
      used_ = 0;
    }
    if (chunk_ == chunks_.size()) {
      const size_t previous = chunks_.empty() ? 0 : chunks_.back()->bytes();
      chunks_.push_back(makeRef<DeviceStorage>(memory_, std::max({bytes, 2 * previous, kFirstChunk})));
    }
    void* result = static_cast<char*>(chunks_[chunk_]->data()) + used_;
    used_ += bytes;
    return result;
  }

  void rewind() noexcept { chunk_ = used_ = 0; }

 private:
  static constexpr size_t kAlignment = 256, kFirstChunk = size_t{1} << 16;

  const Ref<DeviceMemory> memory_;
  std::vector<Ref<DeviceStorage>> chunks_;
  size_t chunk_ = 0, used_ = 0;
};

}  // namespace pw::gpu
