// SPDX-License-Identifier: Apache-2.0
#include "exec/isa/arithmetic_prelude.h"

namespace gpusim::baseline {
#include "exec/isa/arithmetic.inl"
}  // namespace gpusim::baseline
