// SPDX-License-Identifier: Apache-2.0
#include "core/thread_pool.h"

#include <chrono>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace pw {
namespace {

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#else
  std::this_thread::yield();
#endif
}

/// How long a worker stays awake between two jobs: longer than the gap between two ops of a step, shorter than what
/// another process would notice. Where workers outnumber processors, spinning only takes time from the one that works.
std::chrono::microseconds spinTime(int threads) {
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::chrono::microseconds(threads <= cores ? 60 : 0);
}

}  // namespace

ThreadPool::ThreadPool(int threads) : size_(threads < 1 ? 1 : threads) {
  threads_.reserve(static_cast<size_t>(size_) - 1);
  for (int i = 1; i < size_; ++i) threads_.emplace_back([this, i] { loop(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  generation_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::work(int worker) {
  for (;;) {
    const int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= tasks_) return;
    fn_(self_, task, worker);
  }
}

void ThreadPool::dispatch(int64_t tasks, Function fn, void* self) {
  if (tasks <= 1 || size_ == 1) {
    for (int64_t task = 0; task < tasks; ++task) fn(self, task, 0);
    return;
  }
  fn_ = fn;
  self_ = self;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  running_.store(size_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) generation_.notify_all();
  work(0);
  // Every worker checks in, even one that found nothing left: the job's fields may then be reused.
  for (int spins = 0; running_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < 4096)
      pause();
    else
      std::this_thread::yield();
  }
}

void ThreadPool::loop(int worker) {
  const auto spin = spinTime(size_);
  uint32_t seen = 0;
  for (;;) {
    const auto deadline = std::chrono::steady_clock::now() + spin;
    for (int i = 0; generation_.load(std::memory_order_acquire) == seen; ++i) {
      pause();
      if ((i & 63) == 63 && std::chrono::steady_clock::now() >= deadline) {
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        generation_.wait(seen, std::memory_order_seq_cst);
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
      }
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    work(worker);
    running_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

}  // namespace pw
