// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "exec/decoder.h"

namespace gpusim {

/// wmma.load, wmma.store, wmma.mma. The fragments' layout is the simulator's own: PTX leaves it open.
bool decodeWmma(Decoder& d, const ptx::Statement& s, Instruction& in);

}  // namespace gpusim
