// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "cuda_types.h"
#include "runtime.h"

namespace gpusim {

/// A memory pool: bookkeeping over the device's memory. Memory is handed out at the call and given back when the stream
/// reaches the free; `release threshold` only decides what the pool says it keeps reserved.
class MemoryPool {
 public:
  MemoryPool(Device& device, uint64_t maxSize) : device(device), maxSize_(maxSize) {}

  Device& device;

  CUresult allocate(uint64_t size, uint64_t& address);
  /// Returns the memory at `address`, which allocate gave.
  CUresult release(uint64_t address, uint64_t size);
  void trim(uint64_t bytesToKeep);
  CUresult attribute(CUmemPool_attribute which, void* value) const;
  CUresult setAttribute(CUmemPool_attribute which, const void* value);

 private:
  uint64_t reserved() const;

  const uint64_t maxSize_;  ///< 0: no limit but the device's
  mutable std::mutex mutex_;
  uint64_t used_ = 0, usedHigh_ = 0;
  uint64_t kept_ = 0;  ///< most that was in use since the last trim
  uint64_t reservedHigh_ = 0;
  uint64_t threshold_ = 0;
  int reuse_[3] = {1, 1, 1};  ///< the three reuse policies, which have no effect here
};

std::shared_ptr<MemoryPool> defaultPool(Device& device);
std::shared_ptr<MemoryPool> currentPool(Device& device);

/// Remembers which pool an address came from.
void notePool(uint64_t address, const std::shared_ptr<MemoryPool>& pool);

/// The pool that a stream-ordered allocation came from; null when the address is not one. Forgets it with `take`.
std::shared_ptr<MemoryPool> poolOf(uint64_t address, bool take);

}  // namespace gpusim
