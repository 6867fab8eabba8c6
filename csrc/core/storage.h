// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/ref.h"
#include "pagewarp/tensor.h"

namespace pw {

/// A block of device memory. Tensors, packed matrices and queued commands share it; it is freed with the last of them,
/// which for queued commands means after they have run.
class Storage : public RefCounted {
 public:
  void* data() const noexcept { return data_; }
  size_t bytes() const noexcept { return bytes_; }

 protected:
  Storage(void* data, size_t bytes) : data_(data), bytes_(bytes) {}
  void* data_;
  size_t bytes_;
};

/// Host memory of the CPU device.
class HostStorage final : public Storage {
 public:
  /// Uninitialised memory. `used`, if given, is kept equal to the bytes alive.
  /// @throws Error(PW_OUT_OF_MEMORY)
  explicit HostStorage(size_t bytes, std::shared_ptr<std::atomic<int64_t>> used = nullptr);
  ~HostStorage() override;

 private:
  std::shared_ptr<std::atomic<int64_t>> used_;
};

/// Memory that something else owns, such as a mapped model file.
class BorrowedStorage final : public Storage {
 public:
  BorrowedStorage(void* data, size_t bytes, Ref<RefCounted> owner) : Storage(data, bytes), owner_(std::move(owner)) {}

 private:
  Ref<RefCounted> owner_;
};

/// A tensor handle: a view and the storage that keeps it alive.
class Tensor final : public RefCounted {
 public:
  /// @throws Error(PW_INVALID_ARGUMENT) when any element of the view lies outside the storage
  Tensor(Ref<Storage> storage, const pw_tensor& view, int64_t offset);
  const Ref<Storage>& storage() const noexcept { return storage_; }
  const pw_tensor& view() const noexcept { return view_; }

 private:
  Ref<Storage> storage_;
  pw_tensor view_;
};

/// May two views with contiguous last dimensions have an element in common? Exact for rows of equal stride, such as
/// columns of one matrix side by side; otherwise views whose address ranges meet are taken to overlap.
bool mayOverlap(const pw_tensor& a, const pw_tensor& b);

}  // namespace pw
