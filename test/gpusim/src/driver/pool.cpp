// SPDX-License-Identifier: Apache-2.0
#include "pool.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "handles.h"

namespace gpusim {
namespace {

constexpr uint64_t kReservation = 32 << 20;  // pools reserve device memory in pieces of this size

struct Owners {
  std::mutex mutex;
  std::unordered_map<uint64_t, std::weak_ptr<MemoryPool>> pools;
};

Owners& owners() {
  static auto* instance = new Owners;
  return *instance;
}

uint64_t roundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

uint64_t MemoryPool::reserved() const { return roundUp(std::max(used_, std::min(kept_, threshold_)), kReservation); }

CUresult MemoryPool::allocate(uint64_t size, uint64_t& address) {
  std::lock_guard lock(mutex_);
  if (maxSize_ != 0 && size > maxSize_ - std::min(maxSize_, used_)) return CUDA_ERROR_OUT_OF_MEMORY;
  const Status status = device.state.memory.allocate(size, MemoryKind::StreamOrdered, address);
  if (status != Status::Success) return static_cast<CUresult>(status);
  used_ += size;
  usedHigh_ = std::max(usedHigh_, used_);
  kept_ = std::max(kept_, used_);
  reservedHigh_ = std::max(reservedHigh_, reserved());
  return CUDA_SUCCESS;
}

CUresult MemoryPool::release(uint64_t address, uint64_t size) {
  const Status status = device.state.memory.free(address);
  if (status != Status::Success) return static_cast<CUresult>(status);
  std::lock_guard lock(mutex_);
  used_ -= std::min(used_, size);
  return CUDA_SUCCESS;
}

void MemoryPool::trim(uint64_t bytesToKeep) {
  std::lock_guard lock(mutex_);
  kept_ = std::max(used_, std::min(kept_, bytesToKeep));
}

CUresult MemoryPool::attribute(CUmemPool_attribute which, void* value) const {
  std::lock_guard lock(mutex_);
  const auto give = [&](uint64_t number) {
    std::memcpy(value, &number, sizeof number);
    return CUDA_SUCCESS;
  };
  switch (which) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      std::memcpy(value, &reuse_[which - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES], sizeof(int));
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      return give(threshold_);
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
      return give(reserved());
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
      return give(std::max(reservedHigh_, reserved()));
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
      return give(used_);
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      return give(usedHigh_);
  }
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult MemoryPool::setAttribute(CUmemPool_attribute which, const void* value) {
  std::lock_guard lock(mutex_);
  uint64_t number = 0;
  switch (which) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      std::memcpy(&reuse_[which - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES], value, sizeof(int));
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      std::memcpy(&threshold_, value, sizeof threshold_);
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:  // the high marks can only be reset, to the present value
      std::memcpy(&number, value, sizeof number);
      if (number != 0) return CUDA_ERROR_INVALID_VALUE;
      reservedHigh_ = reserved();
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      std::memcpy(&number, value, sizeof number);
      if (number != 0) return CUDA_ERROR_INVALID_VALUE;
      usedHigh_ = used_;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

std::shared_ptr<MemoryPool> defaultPool(Device& device) {
  std::lock_guard lock(device.mutex);
  if (!device.defaultPool) {
    device.defaultPool = std::make_shared<MemoryPool>(device, 0);
    handles<MemoryPool>().add(device.defaultPool);
  }
  return device.defaultPool;
}

std::shared_ptr<MemoryPool> currentPool(Device& device) {
  {
    std::lock_guard lock(device.mutex);
    if (device.currentPool) return device.currentPool;
  }
  return defaultPool(device);
}

void notePool(uint64_t address, const std::shared_ptr<MemoryPool>& pool) {
  std::lock_guard lock(owners().mutex);
  owners().pools[address] = pool;
}

std::shared_ptr<MemoryPool> poolOf(uint64_t address, bool take) {
  std::lock_guard lock(owners().mutex);
  const auto found = owners().pools.find(address);
  if (found == owners().pools.end()) return nullptr;
  std::shared_ptr<MemoryPool> pool = found->second.lock();
  if (take) owners().pools.erase(found);
  return pool;
}

}  // namespace gpusim
