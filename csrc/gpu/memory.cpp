// SPDX-License-Identifier: Apache-2.0
#include "gpu/memory.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"

namespace pw::gpu {
namespace {

/// Freed bytes that the pool keeps for itself when the system could have them back: mapping memory anew is slow.
uint64_t keptBytes(const DeviceProperties& properties) {
  return std::max<uint64_t>(uint64_t{256} << 20, properties.memoryBytes / 16);
}

}  // namespace

DeviceMemory::DeviceMemory(Ref<PrimaryContext> primary, int64_t limit) : primary_(std::move(primary)), limit_(limit) {
  if (!primary_->properties().memoryPools) return;
  const PrimaryContext::Scope scope(*primary_);
  CUmemPoolProps props;
  props.locationId = primary_->properties().index;
  primary_->check(driver().poolCreate(&pool_, &props), "cuMemPoolCreate");
  uint64_t kept = keptBytes(primary_->properties());
  driver().poolSetAttribute(pool_, kPoolReleaseThreshold, &kept);
  if (const CUresult result = driver().streamCreate(&stream_, kStreamNonBlocking); result != kCudaSuccess) {
    driver().poolDestroy(pool_);
    primary_->check(result, "cuStreamCreate");
  }
}

DeviceMemory::~DeviceMemory() {
  if (!pool_) return;
  const PrimaryContext::Scope scope(*primary_);
  driver().streamSynchronize(stream_);
  driver().streamDestroy(stream_);
  driver().poolDestroy(pool_);
}

CUresult DeviceMemory::take(CUdeviceptr* pointer, size_t bytes) {
  if (!pool_) return driver().memoryAllocate(pointer, bytes);
  const CUresult result = driver().poolAllocate(pointer, bytes, pool_, stream_);
  // Nothing else runs there: this only makes sure that the block is mapped before other streams use it.
  return result == kCudaSuccess ? driver().streamSynchronize(stream_) : result;
}

CUdeviceptr DeviceMemory::allocate(size_t bytes) {
  primary_->requireUsable();
  const auto size = static_cast<int64_t>(bytes);
  const int64_t used = used_.fetch_add(size) + size;
  if (limit_ > 0 && used > limit_) {
    used_ -= size;
    throwOutOfMemory(bytes, "the device's memoryLimit is " + std::to_string(limit_) + " bytes");
  }
  const PrimaryContext::Scope scope(*primary_);
  CUdeviceptr pointer = 0;
  CUresult result = take(&pointer, std::max<size_t>(bytes, 1));
  if (result == kCudaOutOfMemory && pool_) {
    // The pool keeps what was freed until the host has seen that happen.
    driver().streamSynchronize(stream_);
    driver().poolTrim(pool_, 0);
    result = take(&pointer, std::max<size_t>(bytes, 1));
  }
  if (result != kCudaSuccess) {
    used_ -= size;
    if (result == kCudaOutOfMemory) {
      size_t free = 0, total = 0;
      driver().memoryInfo(&free, &total);
      throwOutOfMemory(bytes, std::to_string(free) + " of the device's " + std::to_string(total) + " bytes are free");
    }
    primary_->check(result, "allocating device memory");
  }
  int64_t peak = peak_.load();
  while (used > peak && !peak_.compare_exchange_weak(peak, used)) {
  }
  return pointer;
}

void DeviceMemory::throwOutOfMemory(size_t bytes, const std::string& why) const {
  throw Error(PW_OUT_OF_MEMORY, primary_->properties().name + " has no room for " + std::to_string(bytes) +
                                    " bytes: " + std::to_string(used_.load()) + " bytes are in use, and " + why);
}

void DeviceMemory::free(CUdeviceptr pointer, size_t bytes) noexcept {
  used_ -= static_cast<int64_t>(bytes);
  if (primary_->isLost()) return;  // the memory goes with the context
  const PrimaryContext::Scope scope(*primary_);
  if (pool_)
    driver().poolFree(pointer, stream_);
  else
    driver().memoryFree(pointer);
}

MemoryStatistics DeviceMemory::statistics() const {
  MemoryStatistics statistics;
  statistics.used = used_.load();
  statistics.peak = peak_.load();
  statistics.limit = limit_;
  statistics.reserved = statistics.used;
  if (pool_) {
    uint64_t reserved = 0;
    if (driver().poolGetAttribute(pool_, kPoolReserved, &reserved) == kCudaSuccess)
      statistics.reserved = static_cast<int64_t>(reserved);
  }
  return statistics;
}

DeviceStorage::DeviceStorage(Ref<DeviceMemory> memory, size_t bytes, std::shared_ptr<std::atomic<int64_t>> used)
    : Storage(reinterpret_cast<void*>(memory->allocate(bytes)), bytes),
      memory_(std::move(memory)),
      used_(std::move(used)) {
  if (used_) used_->fetch_add(static_cast<int64_t>(bytes_), std::memory_order_relaxed);
}

DeviceStorage::~DeviceStorage() {
  memory_->free(reinterpret_cast<CUdeviceptr>(data_), bytes_);
  if (used_) used_->fetch_sub(static_cast<int64_t>(bytes_), std::memory_order_relaxed);
}

PinnedStorage::PinnedStorage(Ref<PrimaryContext> primary, size_t bytes)
    : Storage(nullptr, bytes), primary_(std::move(primary)) {
  const PrimaryContext::Scope scope(*primary_);
  primary_->check(driver().hostAllocate(&data_, bytes, kHostAllocPortable | kHostAllocDeviceMap), "cuMemHostAlloc");
}

PinnedStorage::~PinnedStorage() {
  const PrimaryContext::Scope scope(*primary_);
  driver().hostFree(data_);
}

Ref<StagingPool::Block> StagingPool::tryTake() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!free_.empty()) {
      Ref<PinnedStorage> storage = std::move(free_.back());
      free_.pop_back();
      return makeRef<Block>(Ref<StagingPool>(this), std::move(storage));
    }
    if (made_ >= kMostBlocks) return {};
  }
  return make();
}

Ref<StagingPool::Block> StagingPool::make() {
  Ref<PinnedStorage> storage = makeRef<PinnedStorage>(primary_, kBlockBytes);
  std::lock_guard<std::mutex> lock(mutex_);
  ++made_;
  return makeRef<Block>(Ref<StagingPool>(this), std::move(storage));
}

void StagingPool::waitForReturn() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (free_.empty()) returned_.wait_for(lock, std::chrono::milliseconds(1));
}

void StagingPool::giveBack(Ref<PinnedStorage> storage) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(storage));
  }
  returned_.notify_one();
}

}  // namespace pw::gpu
