// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <mutex>
#include <string>

#include "core/ref.h"
#include "gpu/driver.h"
#include "gpu/properties.h"

namespace pw::gpu {

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
  /// Notes an error that has broken the context. `during` are the ops that may have caused it; the first call counts.
  void lose(CUresult result, const std::string& during) const;
  bool isLost() const noexcept { return lost_.load(std::memory_order_acquire); }
  /// @throws Error(PW_DEVICE_LOST) when the context is broken
  void requireUsable() const;
  /// Does this error break the context?
  static bool isSticky(CUresult result) noexcept;

 private:
  [[noreturn]] void throwLost() const;

  const DeviceProperties properties_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  mutable std::atomic<bool> lost_{false};
  mutable std::mutex mutex_;
  mutable std::string message_;
};

}  // namespace pw::gpu
