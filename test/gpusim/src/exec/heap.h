// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine.h"

namespace gpusim {

/// malloc and free as called by kernels; every block is an allocation of its own, so all checks apply to it.
uint64_t deviceMalloc(DeviceState& device, uint64_t bytes);  ///< 0 when the heap is exhausted
bool deviceFree(DeviceState& device, uint64_t address);      ///< false when the address is not malloc's; 0 is allowed

}  // namespace gpusim
