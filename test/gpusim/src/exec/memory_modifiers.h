// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "exec/code.h"
#include "exec/decoder.h"

namespace gpusim {

/// Takes ordering, scope, state space and cache operators; true when the last operand is a cache policy.
bool takeMemoryModifiers(Modifiers& m, MemoryOp& op);
/// .v2, .v4, .v8, or 1
uint8_t takeVector(Modifiers& m);

}  // namespace gpusim
