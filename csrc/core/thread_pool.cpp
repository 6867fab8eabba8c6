// SPDX-License-Identifier: Apache-2.0
#include "core/thread_pool.h"

#include <chrono>
#include <string>
#include <system_error>
#include <utility>

#include "core/error.h"

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
  try {
    for (int i = 1; i < size_; ++i) threads_.emplace_back([this, i] { loop(i); });
  } catch (const std::system_error& error) {
    stop();
    throw Error(PW_OUT_OF_MEMORY, "could not start thread " + std::to_string(threads_.size() + 1) + " of " +
                                      std::to_string(size_) + ": " + error.what());
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  generation_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::work(int worker) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  for (;;) {
    const auto task = static_cast<int64_t>(ticket & 0xffffffffu);
    const Function fn = fn_.load(std::memory_order_acquire);
    void* self = self_.load(std::memory_order_acquire);
    if (task >= tasks_.load(std::memory_order_acquire)) return;
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    try {
      fn(self, task, worker);
    } catch (...) {
      std::lock_guard<std::mutex> lock(errorMutex_);
      if (!error_) error_ = std::current_exception();
    }
    finished_.fetch_add(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::dispatch(int64_t tasks, Function fn, void* self) {
  if (tasks <= 1 || size_ == 1) {
    for (int64_t task = 0; task < tasks; ++task) fn(self, task, 0);
    return;
  }
  // First the new job number with no task to claim: whoever sees one of the fields stored below (with release order)
  // also sees that number, and cannot claim a task of the job before with it.
  const uint64_t job = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  ticket_.store(job << 32 | 0xffffffffu, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  fn_.store(fn, std::memory_order_release);
  self_.store(self, std::memory_order_release);
  tasks_.store(tasks, std::memory_order_release);
  ticket_.store(job << 32, std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) generation_.notify_all();
  work(0);
  for (int spins = 0; finished_.load(std::memory_order_acquire) != tasks; ++spins) {
    if (spins < 4096)
      pause();
    else
      std::this_thread::yield();
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
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
  }
}

}  // namespace pw
