// SPDX-License-Identifier: Apache-2.0
#include "gpu/gpu_stream.h"

#include <algorithm>
#include <cstring>

namespace pw::gpu {
namespace {

/// Commands that end together when nobody waits for any of them.
constexpr size_t kBatch = 64;

CUdeviceptr address(const void* p) { return reinterpret_cast<CUdeviceptr>(p); }

}  // namespace

GpuStream::GpuStream(const Resources& resources, Modules& modules)
    : resources_(resources), modules_(modules), scratch_(resources.memory) {
  check(driver().streamCreate(&stream_, kStreamNonBlocking), "cuStreamCreate");
  driver().eventCreate(&joint_, kEventDisableTiming);
  journal_ = makeRef<Journal>(resources.primary);
  completion_ = std::make_unique<Completion>(resources.primary, journal_);
}

GpuStream::~GpuStream() {
  flush();
  completion_.reset();
  driver().eventDestroy(joint_);
  driver().streamDestroy(stream_);
}

void GpuStream::begin(const Ref<Stream>& stream, const char* name) {
  current_ = {};
  current_.stream = stream;
  current_.command.name = name;
  current_.number = journal_->begin(name);
  scratch_.rewind();
  error_ = nullptr;
  ++begun_;
  resources_.primary->requireUsable();
}

void GpuStream::waitFor(GpuStream& other) {
  uint64_t& joined = joined_[&other];
  if (joined == other.begun_) return;
  joined = other.begun_;
  if (other.marked_ != other.begun_) {
    check(driver().eventRecord(other.joint_, other.stream_), "cuEventRecord");
    other.marked_ = other.begun_;
  }
  check(driver().streamWaitEvent(stream_, other.joint_, 0), "cuStreamWaitEvent");
}

void GpuStream::end(Command command, pw_status status, std::string message) {
  if (resources_.synchronous && status == PW_OK) {
    const CUresult result = driver().streamSynchronize(stream_);
    if (result != kCudaSuccess) resources_.primary->lose(result, command.name);
  }
  journal_->mark(stream_);
  const bool awaited = command.awaited || !current_.notifications.empty();
  current_.command = std::move(command);
  current_.status = status;
  current_.message = std::move(message);
  for (Ref<RefCounted>& block : staged_) current_.holds.push_back(std::move(block));
  staged_.clear();
  launched_.push_back(std::move(current_));
  current_ = {};
  if (awaited || launched_.size() >= kBatch) flush();
}

void GpuStream::flush() {
  if (launched_.empty()) return;
  CUevent mark = completion_->takeMark();
  const CUresult recorded = driver().eventRecord(mark, stream_);
  completion_->submit(mark, recorded, std::move(launched_));
  launched_.clear();
}

void GpuStream::endStaged() {
  Launched part;
  part.stream = current_.stream;
  part.command.name = current_.command.name;
  part.number = current_.number - 1;
  part.errors.swap(current_.errors);
  part.copies.swap(current_.copies);
  part.holds.swap(staged_);
  error_ = nullptr;
  launched_.push_back(std::move(part));
  flush();
}

Ref<StagingPool::Block> GpuStream::takeStagingBlock() {
  Ref<StagingPool::Block> block = resources_.staging->tryTake();
  if (block) return block;
  // Blocks come back as commands end. Those of other streams may be waiting for work that is not here yet; when ours
  // have all ended, there is one more.
  endStaged();
  while (!(block = resources_.staging->tryTake())) {
    if (completion_->isIdle()) return resources_.staging->make();
    resources_.staging->waitForReturn();
  }
  return block;
}

char* GpuStream::stage(size_t bytes) {
  if (!staging_ || stagingUsed_ + bytes > StagingPool::kBlockBytes) {
    if (staging_) staged_.emplace_back(std::move(staging_));
    staging_.reset();
    staging_ = takeStagingBlock();
    stagingUsed_ = 0;
  }
  char* result = staging_->data() + stagingUsed_;
  stagingUsed_ += (bytes + 15) / 16 * 16;
  return result;
}

void GpuStream::copyIn(void* to, const void* from, size_t bytes) {
  journal_->work();
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(bytes - done, StagingPool::kBlockBytes);
    char* staged = stage(part);
    std::memcpy(staged, static_cast<const char*>(from) + done, part);
    check(driver().copyToDevice(address(to) + done, staged, part, stream_), "cuMemcpyHtoDAsync");
    done += part;
  }
}

void GpuStream::copyOut(void* to, const void* from, size_t bytes) {
  journal_->work();
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(bytes - done, StagingPool::kBlockBytes);
    char* staged = stage(part);
    check(driver().copyToHost(staged, address(from) + done, part, stream_), "cuMemcpyDtoHAsync");
    char* target = static_cast<char*>(to) + done;
    current_.copies.push_back([target, staged, part] { std::memcpy(target, staged, part); });
    done += part;
  }
}

const void* GpuStream::fetch(const void* from, size_t bytes) {
  char* staged = stage(bytes);
  journal_->work();
  check(driver().copyToHost(staged, address(from), bytes, stream_), "cuMemcpyDtoHAsync");
  return staged;
}

int32_t GpuStream::readNow(const void* from) {
  const void* staged = fetch(from, sizeof(int32_t));
  flush();  // who waits for what comes before need not wait for this thread
  const CUresult result = driver().streamSynchronize(stream_);
  if (result != kCudaSuccess) resources_.primary->lose(result, current_.command.name);
  resources_.primary->requireUsable();
  int32_t value;
  std::memcpy(&value, staged, sizeof value);
  return value;
}

void GpuStream::launch(const Kernel& kernel, Dim3 grid, Dim3 block, unsigned sharedBytes, const void* params, size_t) {
  modules_.allowShared(kernel, sharedBytes);
  journal_->work();
  void* arguments[] = {const_cast<void*>(params)};
  const CUresult result = driver().launchKernel(kernel.function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                                sharedBytes, stream_, arguments, nullptr);
  // A fault of what runs already may show here first.
  if (PrimaryContext::isSticky(result))
    resources_.primary->lose(result, resources_.primary->suspects("or before " + kernel.entry));
  check(result, kernel.entry.c_str());
  ++resources_.counters->kernels;
}

void GpuStream::zero(void* p, size_t bytes) {
  journal_->work();
  check(driver().fill8(address(p), 0, bytes, stream_), "cuMemsetD8Async");
}

void GpuStream::fill(void* p, size_t elementBytes, uint32_t pattern, size_t count) {
  journal_->work();
  const CUresult result =
      elementBytes == 1   ? driver().fill8(address(p), static_cast<unsigned char>(pattern), count, stream_)
      : elementBytes == 2 ? driver().fill16(address(p), static_cast<unsigned short>(pattern), count, stream_)
                          : driver().fill32(address(p), pattern, count, stream_);
  check(result, "cuMemsetAsync");
}

void GpuStream::copy(void* to, const void* from, size_t bytes) {
  journal_->work();
  check(driver().copyOnDevice(address(to), address(from), bytes, stream_), "cuMemcpyDtoDAsync");
}

void* GpuStream::scratch(size_t bytes, size_t) { return scratch_.take(bytes); }

const void* GpuStream::upload(const void* data, size_t bytes, size_t capacity) {
  void* to = scratch_.take(capacity);
  copyIn(to, data, bytes);
  return to;
}

const void* GpuStream::uploadOnce(uint64_t id, const void* data, size_t bytes, size_t) {
  if (id != onceId_) {
    for (auto& [key, storage] : once_) current_.holds.emplace_back(std::move(storage));
    once_.clear();
    onceId_ = id;
  }
  Ref<DeviceStorage>& storage = once_[data];
  if (!storage) {
    storage = makeRef<DeviceStorage>(resources_.memory, bytes);
    copyIn(storage->data(), data, bytes);
  }
  return storage->data();
}

pw_gpu_error* GpuStream::errorWord() {
  if (!error_) {
    error_ = reinterpret_cast<pw_gpu_error*>(stage(sizeof(pw_gpu_error)));
    *error_ = {};
    current_.errors.emplace_back(error_, current_.command.name);
  }
  return error_;
}

}  // namespace pw::gpu
