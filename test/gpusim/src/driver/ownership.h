// SPDX-License-Identifier: Apache-2.0
// Which context made which allocation: decides what may be freed once, and what goes away with a context.
#pragma once
#include <cstdint>
#include <vector>

namespace gpusim {

void noteAllocation(uint64_t address, uint64_t contextId);

/// False when no such allocation is known, for example because a free of it is already on its way.
bool forgetAllocation(uint64_t address);

/// All allocations of a context that were not freed; they are forgotten.
std::vector<uint64_t> takeAllocationsOf(uint64_t contextId);

}  // namespace gpusim
