// SPDX-License-Identifier: Apache-2.0
// A context: its streams, what it allocated, its limits, and the fault that ended it if a kernel misbehaved.
#pragma once
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime.h"
#include "stream.h"

namespace gpusim {

class Context : public std::enable_shared_from_this<Context> {
 public:
  Context(Device& device, unsigned flags, bool primary);

  Device& device;
  std::atomic<unsigned> flags;
  const bool primary;
  const uint64_t id;
  std::atomic<int> cacheConfig{CU_FUNC_CACHE_PREFER_NONE};
  std::array<std::atomic<size_t>, CU_LIMIT_MAX> limits;

  /// False once the context was destroyed (or its primary context released for the last time).
  bool alive() const { return alive_; }
  void setAlive(bool alive) { alive_ = alive; }

  /// The error that a kernel left behind: every later call returns it. CUDA_SUCCESS when there is none.
  CUresult fault() const { return static_cast<CUresult>(fault_.load()); }
  std::string faultMessage() const;
  void setFault(CUresult status, const std::string& message);

  std::shared_ptr<Stream> createStream(unsigned flags, int priority);
  std::shared_ptr<Stream> legacyStream();
  /// The calling thread's default stream, which waits for the legacy stream as any blocking stream does.
  std::shared_ptr<Stream> perThreadStream();
  /// All streams that still exist or still have work, legacy first when there is one.
  std::vector<std::shared_ptr<Stream>> streams() const;

  /// Puts work into a stream with the legacy default stream's ordering: work in the legacy stream waits for all
  /// blocking streams and they wait for it.
  CompletionPtr enqueue(Stream& stream, Work work, std::vector<CompletionPtr> dependencies = {});

  /// Waits for everything enqueued so far and returns the fault, if there is one.
  CUresult synchronize();

  /// Called by stream threads: performs the work unless the context is at fault.
  void run(const Work& work);

  /// Ends all work, reports leaks, frees everything the context owns and takes its handles away; afterwards the context
  /// is as new.
  void clear(const std::string& occasion);

 private:
  void setDefaultLimits();

  std::atomic<bool> alive_{true};
  std::atomic<int> fault_{CUDA_SUCCESS};
  mutable std::mutex mutex_;  ///< guards what follows
  std::string faultMessage_;
  std::vector<std::weak_ptr<Stream>> streams_;
  std::shared_ptr<Stream> legacy_;
  std::map<std::thread::id, std::shared_ptr<Stream>> perThread_;
};

/// With GPUSIM_FAULTS=process, the first fault that any context has had: there are no more contexts then.
CUresult processFault();

/// Logs the program's allocations on a device that are still there, if memory is checked.
void reportLeaks(Device& device, const std::string& occasion);

}  // namespace gpusim
