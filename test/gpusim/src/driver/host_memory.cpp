// SPDX-License-Identifier: Apache-2.0
#include "host_memory.h"

#include <map>

namespace gpusim {
namespace {

struct FlagTable {
  std::mutex mutex;
  std::map<uint64_t, unsigned> flags;  // by base address
};

FlagTable& flagTable() {
  static auto* instance = new FlagTable;
  return *instance;
}

void noteFlags(const void* pointer, unsigned flags) {
  std::lock_guard lock(flagTable().mutex);
  flagTable().flags[reinterpret_cast<uint64_t>(pointer)] = flags;
}

void forgetFlags(uint64_t base) {
  std::lock_guard lock(flagTable().mutex);
  flagTable().flags.erase(base);
}

}  // namespace

CUresult allocateHostMemory(Device& owner, size_t size, MemoryKind kind, unsigned flags, void*& pointer) {
  const Status status = owner.state.memory.allocateHost(size, kind, pointer);
  if (status != Status::Success) return static_cast<CUresult>(status);
  for (const auto& device : devices())
    if (device.get() != &owner) device->state.memory.registerHost(pointer, size);
  noteFlags(pointer, flags);
  return CUDA_SUCCESS;
}

CUresult freeHostMemory(Device& owner, const Allocation& allocation) {
  for (const auto& device : devices())
    if (device.get() != &owner) device->state.memory.unregisterHost(reinterpret_cast<void*>(allocation.base));
  forgetFlags(allocation.base);
  return static_cast<CUresult>(owner.state.memory.free(allocation.base));
}

CUresult registerHostMemory(void* pointer, size_t size, unsigned flags) {
  Allocation existing;
  const auto address = reinterpret_cast<uint64_t>(pointer);
  if (deviceOfAddress(address, existing) || deviceOfAddress(address + size - 1, existing))
    return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  for (const auto& device : devices()) {
    const Status status = device->state.memory.registerHost(pointer, size);
    if (status != Status::Success) {
      for (const auto& other : devices()) other->state.memory.unregisterHost(pointer);
      return static_cast<CUresult>(status);
    }
  }
  noteFlags(pointer, flags);
  return CUDA_SUCCESS;
}

CUresult unregisterHostMemory(void* pointer) {
  Allocation allocation;
  if (!deviceOfAddress(reinterpret_cast<uint64_t>(pointer), allocation) || allocation.ownsHost ||
      allocation.kind != MemoryKind::HostPinned)
    return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  if (allocation.base != reinterpret_cast<uint64_t>(pointer)) return CUDA_ERROR_INVALID_VALUE;
  for (const auto& device : devices()) device->state.memory.unregisterHost(pointer);
  forgetFlags(allocation.base);
  return CUDA_SUCCESS;
}

bool hostMemoryFlags(const void* pointer, unsigned& flags) {
  Allocation allocation;
  if (!deviceOfAddress(reinterpret_cast<uint64_t>(pointer), allocation) || allocation.kind != MemoryKind::HostPinned)
    return false;
  std::lock_guard lock(flagTable().mutex);
  const auto found = flagTable().flags.find(allocation.base);
  if (found == flagTable().flags.end()) return false;
  flags = found->second;
  return true;
}

}  // namespace gpusim
