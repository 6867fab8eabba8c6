// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gpu/arena.h"
#include "gpu/completion.h"
#include "gpu/context.h"

namespace pw::gpu {

/// What a device has done so far.
struct LaunchCounters {
  std::atomic<int64_t> kernels{0};        ///< launched one by one
  std::atomic<int64_t> graphCaptures{0};  ///< command lists captured, or captured anew for a plan that did not fit
  std::atomic<int64_t> graphLaunches{0};
};

/// What the streams of a device share.
struct Resources {
  Ref<PrimaryContext> primary;
  Ref<DeviceMemory> memory;
  Ref<StagingPool> staging;
  std::shared_ptr<LaunchCounters> counters;
  /// PAGEWARP_CUDA_SYNC=1: wait after every launch, so that errors name their op.
  bool synchronous = false;
};

/// A pw::Stream on the GPU: a CUDA stream, and the commands that have been launched there but not ended. Everything
/// happens on the engine thread, but for the ending of commands.
class GpuStream final : public Target {
 public:
  GpuStream(const Resources& resources, Modules& modules);
  /// Every command has ended before this returns.
  ~GpuStream() override;

  CUstream handle() const noexcept { return stream_; }

  /// A command is about to be run. @throws Error(PW_DEVICE_LOST)
  void begin(const Ref<Stream>& stream, const char* name);
  /// The command has been run: it will end when the GPU has got there.
  void end(Command command, pw_status status, std::string message);
  /// What follows here comes after everything that is on `other` so far.
  void waitFor(GpuStream& other);
  /// `other` is about to go.
  void forget(const GpuStream* other) { joined_.erase(other); }
  /// What has been launched so far ends as soon as it can.
  void flush();

  /// Bytes between host memory and contiguous device memory, in stream order. `from` is read before copyIn returns;
  /// `to` is written when the command ends.
  void copyIn(void* to, const void* from, size_t bytes);
  void copyOut(void* to, const void* from, size_t bytes);
  /// Copies device memory to staging memory, where it can be read when the command ends. At most
  /// StagingPool::kBlockBytes.
  const void* fetch(const void* from, size_t bytes);
  /// A number, when the stream has got here. @throws Error(PW_DEVICE_LOST)
  int32_t readNow(const void* from);
  /// The running command replays these ops, as one piece of work.
  void replays(const std::shared_ptr<const std::string>& ops) { journal_->work(ops); }
  /// The running command's list of what ends with it.
  Launched& current() noexcept { return current_; }

  /// Nobody can submit to it any more.
  const std::shared_ptr<std::atomic<bool>> isAbandoned = std::make_shared<std::atomic<bool>>(false);
  bool isIdle() { return launched_.empty() && completion_->isIdle(); }

  void launch(const Kernel& kernel, Dim3 grid, Dim3 block, unsigned sharedBytes, const void* params,
              size_t paramBytes) override;
  void zero(void* p, size_t bytes) override;
  void fill(void* p, size_t elementBytes, uint32_t pattern, size_t count) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void* scratch(size_t bytes, size_t capacity) override;
  const void* upload(const void* data, size_t bytes, size_t capacity) override;
  const void* uploadOnce(uint64_t id, const void* data, size_t bytes, size_t capacity) override;
  unsigned gridCapacity(unsigned blocks) override { return blocks; }
  pw_gpu_error* errorWord() override;
  bool isCaptured() const noexcept override { return false; }

 private:
  /// Up to a block of staging memory, for the running command.
  char* stage(size_t bytes);
  Ref<StagingPool::Block> takeStagingBlock();
  /// Lets what the running command has staged so far end before the command itself.
  void endStaged();
  void check(CUresult result, const char* what) { resources_.primary->check(result, what); }

  const Resources& resources_;
  Modules& modules_;
  CUstream stream_ = nullptr;
  Ref<Journal> journal_;
  std::unique_ptr<Completion> completion_;

  Launched current_;
  std::vector<Launched> launched_;
  /// Commands begun here; how many of them `joint_` comes after; and for other streams, how many this one comes after.
  uint64_t begun_ = 0, marked_ = 0;
  CUevent joint_ = nullptr;
  std::map<const GpuStream*, uint64_t> joined_;

  Arena scratch_;
  /// The block in use, and those that the running command has filled.
  Ref<StagingPool::Block> staging_;
  std::vector<Ref<RefCounted>> staged_;
  size_t stagingUsed_ = 0;
  pw_gpu_error* error_ = nullptr;
  /// Shared uploads: those of the plan that was used last.
  uint64_t onceId_ = 0;
  std::map<const void*, Ref<DeviceStorage>> once_;
};

}  // namespace pw::gpu
