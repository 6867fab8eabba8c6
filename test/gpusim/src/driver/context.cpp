// SPDX-License-Identifier: Apache-2.0
#include "context.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "capture.h"
#include "event.h"
#include "graph.h"
#include "handles.h"
#include "host_memory.h"
#include "log.h"
#include "module.h"
#include "ownership.h"

namespace gpusim {
namespace {

std::atomic<uint64_t> nextContextId{1};
std::atomic<int> faultOfProcess{CUDA_SUCCESS};

const char* kindName(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::StreamOrdered:
      return "cuMemAllocAsync";
    case MemoryKind::HostPinned:
      return "pinned host memory";
    case MemoryKind::Managed:
      return "cuMemAllocManaged";
    default:
      return "cuMemAlloc";
  }
}

constexpr size_t kLeaksListed = 16;

void logLeaks(const std::vector<Allocation>& leaks, const std::string& occasion) {
  if (leaks.empty()) return;
  uint64_t bytes = 0;
  for (const Allocation& leak : leaks) bytes += leak.size;
  std::string text = "leak: " + std::to_string(leaks.size()) + " allocation(s), " + std::to_string(bytes) +
                     " bytes not freed when " + occasion + "\n";
  for (size_t i = 0; i < std::min(leaks.size(), kLeaksListed); ++i)
    text += "  allocation #" + std::to_string(leaks[i].serial) + ": " + std::to_string(leaks[i].size) + " bytes (" +
            kindName(leaks[i].kind) + ")\n";
  if (leaks.size() > kLeaksListed) text += "  and " + std::to_string(leaks.size() - kLeaksListed) + " more\n";
  logText(text);
}

}  // namespace

Context::Context(Device& device, unsigned flags, bool primary)
    : device(device), flags(flags), primary(primary), id(nextContextId++) {
  setDefaultLimits();
}

void Context::setDefaultLimits() {
  for (auto& limit : limits) limit = 0;
  limits[CU_LIMIT_STACK_SIZE] = 1024;
  limits[CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20;
  limits[CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20;
  limits[CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2;
  limits[CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048;
  limits[CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64;
}

CUresult processFault() { return static_cast<CUresult>(faultOfProcess.load()); }

std::string Context::faultMessage() const {
  std::lock_guard lock(mutex_);
  return faultMessage_;
}

void Context::setFault(CUresult status, const std::string& message) {
  std::lock_guard lock(mutex_);
  if (fault_ != CUDA_SUCCESS) return;
  faultMessage_ = message;
  fault_ = status;
  const char* end = std::getenv("GPUSIM_FAULTS");
  if (end && std::strcmp(end, "process") == 0) faultOfProcess = status;
}

std::shared_ptr<Stream> Context::createStream(unsigned streamFlags, int priority) {
  auto stream = std::make_shared<Stream>(weak_from_this(), streamFlags, priority);
  std::lock_guard lock(mutex_);
  std::erase_if(streams_, [](const std::weak_ptr<Stream>& other) { return other.expired(); });
  streams_.push_back(stream);
  return stream;
}

std::shared_ptr<Stream> Context::legacyStream() {
  std::lock_guard lock(mutex_);
  if (!legacy_) legacy_ = std::make_shared<Stream>(weak_from_this(), CU_STREAM_DEFAULT, 0);
  return legacy_;
}

std::shared_ptr<Stream> Context::perThreadStream() {
  {
    std::lock_guard lock(mutex_);
    const auto found = perThread_.find(std::this_thread::get_id());
    if (found != perThread_.end()) return found->second;
  }
  auto stream = createStream(CU_STREAM_DEFAULT, 0);
  std::lock_guard lock(mutex_);
  return perThread_[std::this_thread::get_id()] = stream;
}

std::vector<std::shared_ptr<Stream>> Context::streams() const {
  std::vector<std::shared_ptr<Stream>> found;
  std::lock_guard lock(mutex_);
  if (legacy_) found.push_back(legacy_);
  for (const auto& weak : streams_)
    if (auto stream = weak.lock()) found.push_back(std::move(stream));
  return found;
}

CompletionPtr Context::enqueue(Stream& stream, Work work, std::vector<CompletionPtr> dependencies) {
  const auto depend = [&](const Stream& other) {
    CompletionPtr last = other.last();
    if (last && !last->done()) dependencies.push_back(std::move(last));
  };
  std::lock_guard lock(mutex_);
  if (&stream == legacy_.get()) {
    for (const auto& weak : streams_)
      if (const auto other = weak.lock(); other && other->blocking()) depend(*other);
  } else if (stream.blocking() && legacy_) {
    depend(*legacy_);
  }
  return stream.enqueue(shared_from_this(), std::move(work), std::move(dependencies));
}

CUresult Context::synchronize() {
  for (const auto& stream : streams())
    if (const CompletionPtr last = stream->last()) last->wait();
  return fault();
}

void Context::run(const Work& work) {
  if (shuttingDown()) return;
  if (fault() != CUDA_SUCCESS && !std::holds_alternative<CallbackWork>(work)) return;
  const CUresult status = perform(work, *this);
  if (status != CUDA_SUCCESS) setFault(status, "");
}

void Context::clear(const std::string& occasion) {
  synchronize();
  const auto mine = [this](const auto& object) { return object.context.get() == this; };
  handles<Stream>().removeIf([this](const Stream& stream) { return stream.context.lock().get() == this; });
  handles<Event>().removeIf(mine);
  handles<GraphExec>().removeIf(mine);
  removeFunctionsOf(*this);
  handles<LoadedModule>().removeIf(mine);
  forgetLibraryModulesOf(*this);

  {
    std::lock_guard lock(mutex_);
    legacy_.reset();
    perThread_.clear();
    streams_.clear();
  }
  std::vector<Allocation> leaks;
  for (const uint64_t address : takeAllocationsOf(id)) {
    Allocation allocation;
    if (!device.state.memory.find(address, allocation)) continue;
    leaks.push_back(allocation);
    if (isHostKind(allocation.kind)) {
      freeHostMemory(device, allocation);
    } else {
      device.state.memory.free(address);
    }
  }
  // After a fault the program could not free anything.
  if (device.state.checks.memory && fault() == CUDA_SUCCESS) logLeaks(leaks, occasion);
  setDefaultLimits();
  device.state.stackLimit = limits[CU_LIMIT_STACK_SIZE];
  device.state.heapLimit = limits[CU_LIMIT_MALLOC_HEAP_SIZE];
  std::lock_guard lock(mutex_);
  fault_ = CUDA_SUCCESS;
  faultMessage_.clear();
}

void reportLeaks(Device& device, const std::string& occasion) {
  {
    std::lock_guard lock(device.mutex);
    if (device.primary && device.primary->fault() != CUDA_SUCCESS) return;  // it could not free anything
  }
  if (!device.state.checks.memory) return;
  std::vector<Allocation> leaks;
  for (const Allocation& allocation : device.state.memory.live(true))
    if (allocation.kind != MemoryKind::HostPinned || allocation.ownsHost) leaks.push_back(allocation);
  logLeaks(leaks, occasion);
}

}  // namespace gpusim
