// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>

#include "exec/heap.h"
#include "exec/random.h"

namespace gpusim {

struct DeviceState::Heap {
  std::mutex mutex;
  std::map<uint64_t, uint64_t> sizes;
  uint64_t used = 0;
};

namespace {

uint64_t environmentNumber(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 0) : otherwise;
}

/// "3" or "0,1,2".
std::vector<uint64_t> environmentNumbers(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (!text || !*text) return {otherwise};
  std::vector<uint64_t> numbers;
  for (char* end = nullptr;; text = end + 1) {
    numbers.push_back(std::strtoull(text, &end, 0));
    if (*end != ',') return numbers;
  }
}

}  // namespace

DeviceState::DeviceState(DeviceModel m)
    : model(std::move(m)),
      checks(CheckOptions::fromEnvironment()),
      seeds(environmentNumbers("GPUSIM_SEED", 0)),
      memory(model.memoryBytes),
      heap(std::make_unique<Heap>()) {
  const unsigned cores = std::thread::hardware_concurrency();
  hostThreads = int(environmentNumber("GPUSIM_THREADS", cores ? cores : 1));
  if (hostThreads < 1) hostThreads = 1;
  print = [](const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
}

DeviceState::~DeviceState() = default;

uint64_t DeviceState::seedOf(uint64_t launch) const { return seeds[Random(launch).next() % seeds.size()]; }

uint64_t deviceMalloc(DeviceState& device, uint64_t bytes) {
  DeviceState::Heap& heap = *device.heap;
  std::lock_guard lock(heap.mutex);
  uint64_t address = 0;
  if (!bytes || heap.used + bytes > device.heapLimit) return 0;
  if (device.memory.allocate(bytes, MemoryKind::Workspace, address, "device malloc") != Status::Success) return 0;
  heap.sizes[address] = bytes;
  heap.used += bytes;
  return address;
}

bool deviceFree(DeviceState& device, uint64_t address) {
  if (!address) return true;
  DeviceState::Heap& heap = *device.heap;
  std::lock_guard lock(heap.mutex);
  auto it = heap.sizes.find(address);
  if (it == heap.sizes.end()) return false;
  heap.used -= it->second;
  heap.sizes.erase(it);
  return device.memory.free(address) == Status::Success;
}

}  // namespace gpusim
