// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace pw {

/// A fork-join pool. The calling thread is worker 0 and works too; the others spin for some microseconds between jobs,
/// then sleep, so that a decode step of microseconds finds them awake and an idle process burns nothing.
///
/// One job at a time, from one thread at a time (the engine thread). What a function throws, such as for want of
/// scratch memory, is thrown by run() when no task runs any more; data errors are reported through cpu::Context::fail.
class ThreadPool {
 public:
  /// @param threads workers in total, the caller included; at least 1
  /// @throws Error(PW_OUT_OF_MEMORY) when the system refuses a thread
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const noexcept { return size_; }

  /// Calls fn(task, worker) for every task in [0, tasks); tasks are claimed dynamically, in increasing order.
  /// Returns after the last one. A single task, or a pool of one, runs in place without waking anybody.
  template <class F>
  void run(int64_t tasks, F&& fn) {
    using Fn = std::remove_reference_t<F>;
    dispatch(
        tasks, [](void* self, int64_t task, int worker) { (*static_cast<Fn*>(self))(task, worker); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

  /// Calls fn(begin, end, worker) over [0, count) in chunks of at least `grain`, about four chunks a worker.
  template <class F>
  void forRange(int64_t count, int64_t grain, F&& fn) {
    if (count <= 0) return;
    const int64_t wanted = size_ == 1 ? 1 : 4 * static_cast<int64_t>(size_);
    int64_t chunk = (count + wanted - 1) / wanted;
    if (chunk < grain) chunk = grain;
    const int64_t chunks = (count + chunk - 1) / chunk;
    run(chunks, [&](int64_t i, int worker) {
      const int64_t begin = i * chunk, end = begin + chunk < count ? begin + chunk : count;
      fn(begin, end, worker);
    });
  }

 private:
  using Function = void (*)(void* self, int64_t task, int worker);
  void dispatch(int64_t tasks, Function fn, void* self);
  void work(int worker);
  void loop(int worker);
  void stop();

  const int size_;
  std::vector<std::thread> threads_;
  // The current job. A worker that read these fields may use them if it then claims a task: the claim fails when
  // another job has begun in between. So nobody has to wait for workers that slept through a job, only for claimed
  // tasks.
  std::atomic<Function> fn_{nullptr};
  std::atomic<void*> self_{nullptr};
  std::atomic<int64_t> tasks_{0};
  alignas(64) std::atomic<uint64_t> ticket_{0};      // job number in the high half, next unclaimed task in the low
  alignas(64) std::atomic<int64_t> finished_{0};     // tasks of the current job that are done
  alignas(64) std::atomic<uint32_t> generation_{0};  // changes when a job starts or the pool stops
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::mutex errorMutex_;
  std::exception_ptr error_;  // what the first failed task of the current job threw
};

}  // namespace pw
