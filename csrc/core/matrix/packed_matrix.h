// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>

#include "core/storage.h"
#include "pagewarp/matrix.h"

namespace pw {

/// A weight matrix that commands share: packed, or a view of rows in a mapped file.
class PackedMatrix final : public RefCounted {
 public:
  /// @param bytes what the matrix occupies on the device; 0 for a view of a file
  PackedMatrix(Ref<Storage> storage, const pw_matrix& view, int64_t bytes)
      : storage_(std::move(storage)), view_(view), bytes_(bytes) {}

  const pw_matrix& view() const noexcept { return view_; }
  int64_t bytes() const noexcept { return bytes_; }

  /// Rows that a pack command has finished, for progress bars: any thread may read it.
  int64_t rowsDone() const noexcept { return rowsDone_.load(std::memory_order_relaxed); }
  void setRowsDone(int64_t rows) noexcept { rowsDone_.store(rows, std::memory_order_relaxed); }

 private:
  const Ref<Storage> storage_;
  const pw_matrix view_;
  const int64_t bytes_;
  std::atomic<int64_t> rowsDone_{0};
};

}  // namespace pw
