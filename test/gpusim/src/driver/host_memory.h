// SPDX-License-Identifier: Apache-2.0
// Page-locked and managed host memory, which every device can reach at its host address.
#pragma once
#include "runtime.h"

namespace gpusim {

inline bool isHostKind(MemoryKind kind) { return kind == MemoryKind::HostPinned || kind == MemoryKind::Managed; }

/// Allocates and makes the memory known to all devices; it belongs to `owner`.
CUresult allocateHostMemory(Device& owner, size_t size, MemoryKind kind, unsigned flags, void*& pointer);

/// Undoes allocateHostMemory.
CUresult freeHostMemory(Device& owner, const Allocation& allocation);

CUresult registerHostMemory(void* pointer, size_t size, unsigned flags);
CUresult unregisterHostMemory(void* pointer);

/// The flags that pinned memory was made with; false when the address is not in pinned memory.
bool hostMemoryFlags(const void* pointer, unsigned& flags);

}  // namespace gpusim
