// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <chrono>
#include <memory>

namespace gpusim {

/// The end of one piece of stream work: what events record, other streams depend on and host threads wait for.
class Completion {
 public:
  using Clock = std::chrono::steady_clock;

  void finish() {
    time_ = Clock::now();
    done_.store(true, std::memory_order_release);
    done_.notify_all();
  }
  bool done() const { return done_.load(std::memory_order_acquire); }
  void wait() const { done_.wait(false, std::memory_order_acquire); }
  /// Host time at which the work ended; meaningful once done().
  Clock::time_point time() const { return time_; }

 private:
  Clock::time_point time_{};
  std::atomic<bool> done_{false};
};

using CompletionPtr = std::shared_ptr<Completion>;

}  // namespace gpusim
