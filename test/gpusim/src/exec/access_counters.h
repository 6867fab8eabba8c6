// SPDX-License-Identifier: Apache-2.0
/// @file access_counters.h
/// What a warp's access costs, for the profile.
#pragma once

#include "exec/access.h"

namespace gpusim {

/// Distinct 32-byte sectors and distinct bytes of a request.
void countGlobal(Context& c, const Access& a, const Lanes& lanes, uint32_t mask);

/// Passes over the 32 four-byte banks. Accesses of 8 and 16 bytes are served in halves and quarters of the warp.
void countShared(Context& c, const Access& a, const Lanes& lanes, uint32_t mask);

}  // namespace gpusim
