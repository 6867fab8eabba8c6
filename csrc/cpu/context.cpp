// SPDX-License-Identifier: Apache-2.0
#include "cpu/context.h"

#include "core/aligned.h"

namespace pw::cpu {

void Scratch::Free::operator()(void* p) const { alignedFree(p); }

void* Scratch::get(size_t bytes) {
  if (bytes > size_) {
    data_.reset();
    data_.reset(alignedAllocate(bytes + bytes / 2));
    size_ = bytes + bytes / 2;
  }
  return data_.get();
}

Context::Context(int threads, Isa isa)
    : pool_(threads), isa_(isa), features_(detectFeatures()), workers_(static_cast<size_t>(pool_.size())) {}

void Context::fail(pw_status status, const std::string& message) {
  std::lock_guard<std::mutex> lock(errorMutex_);
  if (error_ != PW_OK) return;
  error_ = status;
  errorMessage_ = message;
}

pw_status Context::takeError(std::string* message) {
  std::lock_guard<std::mutex> lock(errorMutex_);
  const pw_status status = error_;
  if (status != PW_OK) *message = std::move(errorMessage_);
  error_ = PW_OK;
  errorMessage_.clear();
  return status;
}

}  // namespace pw::cpu
