// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "core/ref.h"
#include "gpu/driver.h"
#include "gpu/properties.h"

namespace pw::gpu {

class Journal;

/// A device's primary context, retained while anything of ours lives in it, and whether it still works: some errors (an
/// illegal address, say) leave a CUDA context that answers every call with the same error.
class PrimaryContext final : public RefCounted {
 public:
  /// @throws Error(PW_DEVICE_UNAVAILABLE) with the driver's reason
  explicit PrimaryContext(const DeviceProperties& properties);
  ~PrimaryContext() override;

  const DeviceProperties& properties() const noexcept { return properties_; }

  /// Makes the context current for the calling thread, for good.
  void makeCurrent() const;

  /// Makes the context current while it lives; for threads that are not ours. Where that fails, the calls inside fail.
  class Scope {
   public:
    explicit Scope(const PrimaryContext& primary) noexcept;
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    bool pushed_;
  };

  /// @param what the call, for the message
  /// @throws Error(PW_OUT_OF_MEMORY | PW_DEVICE_LOST | PW_INTERNAL) unless it was a success
  void check(CUresult result, const char* what) const;
  /// Notes an error that has broken the context. `during` is the op that caused it; the first call counts.
  void lose(CUresult result, const std::string& during) const;
  /// The ops that may have caused it, by the journals of all streams.
  /// @param otherwise if they know of none
  std::string suspects(const std::string& otherwise) const;
  bool isLost() const noexcept { return lost_.load(std::memory_order_acquire); }
  /// @throws Error(PW_DEVICE_LOST) when the context is broken
  void requireUsable() const;
  /// Does this error break the context?
  static bool isSticky(CUresult result) noexcept;

  /// The journals of all streams, while they live.
  void watch(const Journal* journal) const;
  void forget(const Journal* journal) const;

 private:
  [[noreturn]] void throwLost() const;

  const DeviceProperties properties_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  mutable std::atomic<bool> lost_{false};
  mutable std::mutex mutex_;
  mutable std::string message_;
  mutable std::vector<const Journal*> journals_;
};

}  // namespace pw::gpu
