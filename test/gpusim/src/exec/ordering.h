// SPDX-License-Identifier: Apache-2.0
/// @file ordering.h
/// Order between warps and blocks, and waiting for one another through memory.
#pragma once

#include "exec/access.h"

namespace gpusim {

/// Order that an atomic, volatile, acquire or release access by the active lanes makes with other warps and blocks.
void synchronise(Context& c, const Lanes& lanes, bool acquire, bool release, bool writes);
/// membar/fence of gpu scope or wider.
void deviceFence(Context& c);
/// Something that others may wait for has changed.
inline void progressed(Context& c) { c.worker->idlePolls = 0; }
/// After a load or store that the warp makes together (ldmatrix, wmma): a load is over for all its lanes once one of
/// them goes on.
inline void afterCollective(Context& c, bool store) {
  if (store)
    progressed(c);
  else if (c.block->race.enabled())
    c.block->race.warpSync(c.warp->index);
}
/// A communicating access that may be part of a waiting loop: ends the slice now and then.
void polled(Context& c, const Instruction& in);

}  // namespace gpusim
