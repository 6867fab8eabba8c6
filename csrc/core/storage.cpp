// SPDX-License-Identifier: Apache-2.0
#include "core/storage.h"

#include "core/aligned.h"
#include "core/checked.h"
#include "core/error.h"

namespace pw {

HostStorage::HostStorage(size_t bytes, std::shared_ptr<std::atomic<int64_t>> used)
    : Storage(alignedAllocate(bytes), bytes), used_(std::move(used)) {
  if (used_) used_->fetch_add(static_cast<int64_t>(bytes_), std::memory_order_relaxed);
}

HostStorage::~HostStorage() {
  alignedFree(data_);
  if (used_) used_->fetch_sub(static_cast<int64_t>(bytes_), std::memory_order_relaxed);
}

Tensor::Tensor(Ref<Storage> storage, const pw_tensor& view, int64_t offset)
    : storage_(std::move(storage)), view_(view) {
  if (view.rank < 1 || view.rank > PW_MAX_RANK) throw Error(PW_INVALID_ARGUMENT, "tensor rank must be 1 to 6");
  const int64_t size = pw_dtype_size(view.dtype);
  int64_t low = offset, high = offset;
  bool empty = false;
  for (int d = 0; d < view.rank; ++d) {
    if (view.shape[d] < 0) throw Error(PW_INVALID_ARGUMENT, "tensor dimensions must not be negative");
    if (view.shape[d] == 0) {
      empty = true;
      continue;
    }
    int64_t reach = 0;
    int64_t* end = view.strides[d] < 0 ? &low : &high;
    if (!checkedMultiply(view.shape[d] - 1, view.strides[d], &reach) || !checkedAdd(*end, reach, end))
      throw Error(PW_INVALID_ARGUMENT, "tensor extent overflows 64 bits");
  }
  const int64_t elements = static_cast<int64_t>(storage_->bytes()) / size;
  if (!empty && (low < 0 || high >= elements))
    throw Error(PW_INVALID_ARGUMENT, "tensor view reaches outside its storage");
  view_.data = static_cast<char*>(storage_->data()) + offset * size;
}

}  // namespace pw
