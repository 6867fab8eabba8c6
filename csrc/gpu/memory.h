// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "core/storage.h"
#include "gpu/primary_context.h"

namespace pw::gpu {

/// What a device's memory is used for, in bytes.
struct MemoryStatistics {
  int64_t used = 0;      ///< allocated at this moment: tensors, matrices, scratch
  int64_t peak = 0;      ///< the most that `used` has been
  int64_t reserved = 0;  ///< taken from the system, used or kept for later
  int64_t limit = 0;     ///< of `used`; 0: none
};

/// Device memory of one Device. Freed blocks are kept in a pool of our own and used again; where the driver has no
/// pools, every block is allocated and freed singly.
///
/// Memory is freed when its last holder goes, and commands hold what they use until the GPU has finished with it: at
/// that moment no stream can be using it, so blocks are taken and given back on a stream where nothing else ever runs.
class DeviceMemory final : public RefCounted {
 public:
  DeviceMemory(Ref<PrimaryContext> primary, int64_t limit);
  ~DeviceMemory() override;

  /// @throws Error(PW_OUT_OF_MEMORY) naming the sizes, Error(PW_DEVICE_LOST)
  CUdeviceptr allocate(size_t bytes);
  void free(CUdeviceptr pointer, size_t bytes) noexcept;
  MemoryStatistics statistics() const;
  const PrimaryContext& primary() const noexcept { return *primary_; }

 private:
  CUresult take(CUdeviceptr* pointer, size_t bytes);
  [[noreturn]] void throwOutOfMemory(size_t bytes, const std::string& why) const;

  const Ref<PrimaryContext> primary_;
  const int64_t limit_;
  CUmemoryPool pool_ = nullptr;
  CUstream stream_ = nullptr;
  std::atomic<int64_t> used_{0}, peak_{0};
};

/// A block of device memory.
class DeviceStorage final : public Storage {
 public:
  /// `used`, if given, is kept equal to the bytes alive.
  /// @throws Error(PW_OUT_OF_MEMORY)
  DeviceStorage(Ref<DeviceMemory> memory, size_t bytes, std::shared_ptr<std::atomic<int64_t>> used = nullptr);
  ~DeviceStorage() override;

 private:
  const Ref<DeviceMemory> memory_;
  const std::shared_ptr<std::atomic<int64_t>> used_;
};

/// Page-locked host memory that the GPU reads and writes directly.
class PinnedStorage final : public Storage {
 public:
  /// @throws Error(PW_OUT_OF_MEMORY)
  PinnedStorage(Ref<PrimaryContext> primary, size_t bytes);
  ~PinnedStorage() override;

 private:
  const Ref<PrimaryContext> primary_;
};

/// Page-locked blocks of one size, through which bytes travel between host and device. Allocating them is slow, so they
/// go round: a block comes back when the last copy that uses it has been made.
class StagingPool final : public RefCounted {
 public:
  static constexpr size_t kBlockBytes = size_t{1} << 20;
  /// Blocks beyond this many are taken only when none can come back.
  static constexpr int kMostBlocks = 64;

  explicit StagingPool(Ref<PrimaryContext> primary) : primary_(std::move(primary)) {}

  /// A block on loan; it goes back with its last reference.
  class Block final : public RefCounted {
   public:
    Block(Ref<StagingPool> pool, Ref<PinnedStorage> storage) : pool_(std::move(pool)), storage_(std::move(storage)) {}
    ~Block() override { pool_->giveBack(std::move(storage_)); }
    char* data() const noexcept { return static_cast<char*>(storage_->data()); }

   private:
    const Ref<StagingPool> pool_;
    Ref<PinnedStorage> storage_;
  };

  /// A block if one is free or may still be made, else null.
  Ref<Block> tryTake();
  /// Waits up to a millisecond for a block to come back.
  void waitForReturn();
  /// A block in any case.
  Ref<Block> make();

 private:
  void giveBack(Ref<PinnedStorage> storage);

  const Ref<PrimaryContext> primary_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<Ref<PinnedStorage>> free_;
  int made_ = 0;
};

}  // namespace pw::gpu
