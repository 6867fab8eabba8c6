// SPDX-License-Identifier: Apache-2.0
#include "gpu/completion.h"

#include "core/error.h"

#if defined(__linux__)
#include <pthread.h>
#endif

namespace pw::gpu {
namespace {

std::string describeError(const pw_gpu_error& error) {
  const std::string row = "row " + std::to_string(error.row), value = std::to_string(error.value);
  switch (error.status) {
    case PW_INVALID_TOKEN:
      return row + " has token id " + value + ", which is outside the vocabulary";
    case PW_INVALID_LOGITS:
      return row + " of the logits holds a NaN, or nothing finite";
    default:
      return row + " has the value " + value + ", which is out of range";
  }
}

}  // namespace

Completion::Completion(Ref<PrimaryContext> primary, Ref<Journal> journal)
    : primary_(std::move(primary)), journal_(std::move(journal)) {
  thread_ = std::thread([this] { loop(); });
}

Completion::~Completion() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
  thread_.join();
  const PrimaryContext::Scope scope(*primary_);
  for (CUevent mark : marks_) driver().eventDestroy(mark);
}

CUevent Completion::takeMark() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!marks_.empty()) {
      CUevent mark = marks_.back();
      marks_.pop_back();
      return mark;
    }
  }
  CUevent mark = nullptr;
  driver().eventCreate(&mark, kEventBlockingSync | kEventDisableTiming);
  return mark;
}

void Completion::submit(CUevent mark, CUresult recorded, std::vector<Launched> commands) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    batches_.push_back({mark, recorded, std::move(commands)});
  }
  changed_.notify_one();
}

bool Completion::isIdle() {
  std::lock_guard<std::mutex> lock(mutex_);
  return batches_.empty() && !busy_;
}

void Completion::finish(Batch& batch) {
  CUresult result = batch.recorded;
  if (result == kCudaSuccess) result = driver().eventSynchronize(batch.mark);
  if (result != kCudaSuccess) primary_->lose(result, primary_->suspects(batch.commands.back().command.name));
  journal_->end(batch.commands.back().number);
  for (Launched& launched : batch.commands) {
    const std::string name = launched.command.name;
    if (launched.status != PW_OK) launched.stream->report(launched.status, std::move(launched.message));
    if (result != kCudaSuccess) {
      try {
        primary_->requireUsable();
      } catch (const Error& error) {
        launched.stream->report(error.status(), error.what());
      }
    } else {
      for (const auto& [error, op] : launched.errors)
        if (error->status != PW_OK)
          launched.stream->report(static_cast<pw_status>(error->status), op + (": " + describeError(*error)));
      for (const auto& copy : launched.copies) copy();
    }
    for (const auto& notify : launched.notifications) notify();
  }
}

void Completion::loop() {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "pagewarp-gpu-end");
#endif
  const PrimaryContext::Scope scope(*primary_);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closed_ || !batches_.empty(); });
    if (batches_.empty()) return;
    Batch batch = std::move(batches_.front());
    batches_.pop_front();
    busy_ = true;
    lock.unlock();
    finish(batch);
    batch.commands.clear();
    lock.lock();
    if (batch.mark) marks_.push_back(batch.mark);
    busy_ = false;
  }
}

}  // namespace pw::gpu
