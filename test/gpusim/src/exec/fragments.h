// SPDX-License-Identifier: Apache-2.0
/// @file fragments.h
/// Divergence and reconvergence. Lanes of a warp that share a program counter form a fragment. At a divergent branch
/// the fragment splits, and both parts are expected at the branch's immediate post-dominator, where they park and
/// merge. The expectation is soft, so that lanes of one warp can wait for each other (independent thread scheduling):
/// when the others keep polling, or nothing else can run, parked lanes go on alone.
#pragma once

#include "exec/context.h"

namespace gpusim {

/// Takes over the warp's current fragment into the context.
void enterFragment(Context& c, size_t index);
/// Writes pc and mask back into the fragment.
void leaveFragment(Context& c);
/// Splits the active lanes: `taken` continue at `target`, the others at c.pc; all meet at `joinPc` (kNoPc: nowhere).
void diverge(Context& c, uint32_t taken, uint32_t target, uint32_t joinPc);
/// At a join: parks the fragment if it is expected here; true when it stopped running.
bool arriveAtJoin(Context& c);
/// Expects the active lanes at a join, unless they are expected there already.
void expectAt(Context& c, uint32_t joinPc);
/// Splits off lanes into a fragment of their own, which is returned; the rest stay current.
Fragment& splitLanes(Context& c, uint32_t lanes);
/// The lanes leave the kernel.
void exitLanes(Context& c, uint32_t lanes);
/// Chooses the next fragment that is ready to run, in turn; false when there is none.
bool selectFragment(Warp& w);
/// Lets all parked lanes go on alone; false when there are none.
bool unparkAll(Warp& w);
Frame* newFrame(Warp& w, const FunctionCode& f);
/// Lanes that returned from a function: they leave its frame, and no longer come to its joins.
void leaveFrame(Warp& w, Fragment& f, uint32_t lanes);

}  // namespace gpusim
