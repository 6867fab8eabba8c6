// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "exec/code.h"

namespace gpusim {

/// Reads a special register that changes while running, or has no value of its own here, into a register of 4 or 8
/// bytes; null for names that do not exist.
Handler dynamicRegister(const std::string& name, unsigned bytes);

}  // namespace gpusim
