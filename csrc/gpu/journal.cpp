// SPDX-License-Identifier: Apache-2.0
#include "gpu/journal.h"

namespace pw::gpu {

Journal::Journal(Ref<PrimaryContext> primary) : primary_(std::move(primary)) {
  if (primary_->properties().streamWrites) {
    done_ = makeRef<PinnedStorage>(primary_, sizeof(uint32_t));
    *static_cast<uint32_t*>(done_->data()) = 0;
  }
  primary_->watch(this);
}

Journal::~Journal() { primary_->forget(this); }

uint64_t Journal::begin(const char* name) {
  std::lock_guard<std::mutex> lock(mutex_);
  entries_.push_back({++begun_, name, false, nullptr});
  return begun_;
}

void Journal::work(const std::shared_ptr<const std::string>& ops) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (entries_.empty()) return;
  entries_.back().works = true;
  if (ops) entries_.back().ops = ops;
}

void Journal::mark(CUstream stream) {
  uint64_t number;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (entries_.empty() || !entries_.back().works) return;
    number = entries_.back().number;
  }
  // Should this fail, less is known of the next error; one that matters shows with the next call.
  if (done_)
    driver().streamWriteValue(stream, reinterpret_cast<CUdeviceptr>(done_->data()), static_cast<uint32_t>(number), 0);
}

void Journal::end(uint64_t number) {
  std::lock_guard<std::mutex> lock(mutex_);
  while (!entries_.empty() && entries_.front().number <= number) entries_.pop_front();
}

void Journal::addSuspects(std::vector<std::string>* names) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t done = done_ ? *static_cast<const volatile uint32_t*>(done_->data()) : 0;
  for (const Entry& entry : entries_) {
    const bool isDone = done_ && static_cast<int32_t>(done - static_cast<uint32_t>(entry.number)) >= 0;
    if (isDone || !entry.works) continue;
    names->push_back(entry.name + (entry.ops ? " of " + *entry.ops : std::string()));
    if (done_) return;
  }
}

}  // namespace pw::gpu
