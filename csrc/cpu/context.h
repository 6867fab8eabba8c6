// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "pagewarp/status.h"

namespace pw::cpu {

/// Grow-only 64-byte aligned memory that is reused from command to command.
class Scratch {
 public:
  void* get(size_t bytes);

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> data_;
  size_t size_ = 0;
};

/// What a CPU kernel runs in: the pool, the instruction set, and scratch memory. One per device, used by its engine
/// thread; kernels call pool().run and may use scratch(worker, ...) inside.
class Context {
 public:
  Context(int threads, Isa isa);

  ThreadPool& pool() noexcept { return pool_; }
  Isa isa() const noexcept { return isa_; }
  const Features& features() const noexcept { return features_; }

  /// Memory private to `worker`, valid until the same worker asks again. Contents are undefined.
  void* scratch(int worker, size_t bytes) { return workers_[static_cast<size_t>(worker)].get(bytes); }
  /// Memory shared by all workers of a command. To be asked for outside pool().run.
  void* shared(size_t bytes) { return shared_.get(bytes); }

  /// Reports a data error found while running (a bad token id, NaN logits). Any worker may call it; the first one wins
  /// and surfaces at the stream's next synchronisation.
  void fail(pw_status status, const std::string& message);
  /// Takes the pending error. Returns PW_OK when there is none.
  pw_status takeError(std::string* message);

 private:
  ThreadPool pool_;
  Isa isa_;
  Features features_;
  std::vector<Scratch> workers_;
  Scratch shared_;
  std::mutex errorMutex_;
  pw_status error_ = PW_OK;
  std::string errorMessage_;
};

}  // namespace pw::cpu
