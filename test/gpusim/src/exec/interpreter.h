// SPDX-License-Identifier: Apache-2.0
/// @file interpreter.h
/// Runs warps and blocks in slices.
#pragma once

#include "exec/context.h"

namespace gpusim {

enum class SliceResult : uint8_t { More, Blocked, Finished, Stopped };

/// Makes a block ready to run: warps, registers, poisoned shared memory, special registers.
void startBlock(Block& b, LaunchState& launch, Worker& worker, uint64_t index, uint64_t position);
/// Runs randomly chosen warps of a block for about `slices` slices.
SliceResult runBlock(Block& b, uint32_t slices);

/// The active lanes that execute a warp-wide instruction together: all live lanes of `members` must be here. Widens
/// c.mask to lanes that waited; false when this fragment has to wait (or the launch was stopped).
bool gatherLanes(Context& c, const Instruction& in, uint32_t members, WaitKind kind);

/// Calls `act` with the member mask that the active lanes name. Lanes that are here together may name different masks,
/// as tiles of a warp do: then each group acts on its own. A group that is not complete is left to gatherLanes to
/// judge.
template <class Act>
void forEachMemberGroup(Context& c, Ref members, Act act) {
  const uint32_t* named = c.at<uint32_t>(members);
  const uint32_t lanes = c.mask;
  uint32_t group[kLanes], mask[kLanes];
  int groups = 0;
  bool complete = true;
  for (uint32_t left = lanes; left; left &= ~group[groups++]) {
    mask[groups] = named[lowestLane(left)];
    group[groups] = 0;
    for (uint32_t m = left; m; m &= m - 1)
      if (named[lowestLane(m)] == mask[groups]) group[groups] |= 1u << lowestLane(m);
    complete = complete && (mask[groups] & c.warp->live) == group[groups];
  }
  if (groups == 1 || !complete) return act(mask[0]);
  for (int i = 0; i < groups; ++i) {
    c.mask = group[i];
    act(mask[i]);
  }
  c.mask = lanes;
}

/// An arrival at a barrier of the block by the lanes of c.mask.
struct BarrierArrival {
  uint32_t id = 0;
  uint32_t threads = 0;  ///< 0: all live threads of the block
  bool waits = true;
  uint8_t reduce = 0;  ///< BarrierReduce
  uint32_t predicate = 0;
  Ref destination = kNoRef;
};
enum BarrierReduce : uint8_t { kNoReduce, kReducePopc, kReduceAnd, kReduceOr };
void arriveAtBarrier(Context& c, const Instruction& in, const BarrierArrival& arrival);
/// Threads exited: barriers that waited for them may be complete.
void barriersAfterExit(Block& b);

/// Control flow, in control.cpp.
void joinPoint(Context& c, const Instruction& in);
void endOfFunction(Context& c, const Instruction& in);
void unsupportedInstruction(Context& c, const Instruction& in);

}  // namespace gpusim
