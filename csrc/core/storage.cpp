// SPDX-License-Identifier: Apache-2.0
#include "core/storage.h"

#include "core/aligned.h"
#include "core/checked.h"
#include "core/error.h"

namespace pw {

namespace {

struct AddressRange {
  intptr_t begin, end;  ///< bytes; equal when the view has no elements
};

AddressRange addressRange(const pw_tensor& view) {
  const auto size = static_cast<intptr_t>(pw_dtype_size(view.dtype));
  const auto first = reinterpret_cast<intptr_t>(view.data);
  AddressRange range{first, first + size};
  for (int d = 0; d < view.rank; ++d) {
    if (view.shape[d] == 0) return {first, first};
    const intptr_t reach = static_cast<intptr_t>((view.shape[d] - 1) * view.strides[d]) * size;
    (reach < 0 ? range.begin : range.end) += reach;
  }
  return range;
}

/// Bytes from row to row of the last two dimensions; 0 when there is one row.
intptr_t rowPitch(const pw_tensor& view) {
  if (view.rank < 2 || view.shape[view.rank - 2] < 2) return 0;
  return static_cast<intptr_t>(view.strides[view.rank - 2]) * static_cast<intptr_t>(pw_dtype_size(view.dtype));
}

intptr_t rowBytes(const pw_tensor& view) {
  return static_cast<intptr_t>(view.shape[view.rank - 1]) * static_cast<intptr_t>(pw_dtype_size(view.dtype));
}

}  // namespace

bool mayOverlap(const pw_tensor& a, const pw_tensor& b) {
  const AddressRange x = addressRange(a), y = addressRange(b);
  if (x.begin == x.end || y.begin == y.end || x.end <= y.begin || y.end <= x.begin) return false;
  const intptr_t pitch = rowPitch(a);
  if (a.rank > 2 || b.rank > 2 || pitch <= 0 || rowPitch(b) != pitch) return true;
  const intptr_t column = ((y.begin - x.begin) % pitch + pitch) % pitch;
  return column < rowBytes(a) || column + rowBytes(b) > pitch;
}

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
