// SPDX-License-Identifier: Apache-2.0
#include "exec/ordering.h"

#include <algorithm>

namespace gpusim {

using ptx::Space;

namespace {

// A launch hangs when that many polls and that much time went by while nothing in memory changed. What it waits for may
// come from the host, or from another launch, so that more patience is due while one is under way.
constexpr uint64_t kPollLimit = 4'000'000, kStallPolls = 50'000;
constexpr std::chrono::seconds kPatience{10}, kPatienceForOthers{60};

}  // namespace

void synchronise(Context& c, const Lanes& lanes, bool acquire, bool release, bool writes) {
  if (!c.launch->checks.race) return;
  Block& b = *c.block;
  LaunchState& l = *c.launch;
  if (release && l.interleaved) b.fenceTime = ++l.time;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const uint64_t address = lanes.address[lane];
    if (lanes.space[lane] == Space::Local || lanes.space[lane] == Space::Param) continue;
    b.race.acquire(c.warp->index, address);
    if (writes) b.race.release(c.warp->index, address);
    if (lanes.space[lane] == Space::Shared || !l.interleaved) continue;
    auto it = l.releases.find(address);
    if (it != l.releases.end()) {
      b.pendingAcquire = std::max(b.pendingAcquire, it->second);
      if (acquire) b.acquired = std::max(b.acquired, it->second);
    }
    if (writes && b.fenceTime) {
      uint64_t& t = it != l.releases.end() ? it->second : l.releases[address];
      t = std::max(t, b.fenceTime);
    }
  }
}

void deviceFence(Context& c) {
  if (!c.launch->interleaved) return;
  c.block->fenceTime = ++c.launch->time;
  c.block->acquired = std::max(c.block->acquired, c.block->pendingAcquire);
}

void polled(Context& c, const Instruction& in) {
  ++c.warp->syncOperations;
  if (++c.polls >= 8 && c.event == Event::None) {
    c.event = Event::Yield;
    c.block->polled = true;
  }
  Worker& w = *c.worker;
  if (++w.idlePolls == kStallPolls) {
    w.idleSince = std::chrono::steady_clock::now();
    if (c.launch->config->stalled && !c.launch->stalled.exchange(true)) c.launch->config->stalled();
  }
  if (w.idlePolls % kPollLimit) return;
  const bool others = c.launch->device->running > 1;
  if (std::chrono::steady_clock::now() - w.idleSince < (others ? kPatienceForOthers : kPatience)) return;
  raise(c, in, ReportKind::Timeout, lowestLane(c.mask ? c.mask : 1),
        "the launch hangs: " + std::to_string(w.idlePolls) +
            " polls while nothing in memory changed (waiting for a block that is not resident, or a lost signal)");
}

}  // namespace gpusim
