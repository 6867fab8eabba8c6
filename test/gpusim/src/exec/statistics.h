// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "exec/context.h"

namespace gpusim {

/// Sums the workers' counters of each instruction into the launch's profile record.
ProfileRecord collectProfile(const LaunchState& launch, std::vector<Worker>& workers, uint64_t residentBlocks);

}  // namespace gpusim
