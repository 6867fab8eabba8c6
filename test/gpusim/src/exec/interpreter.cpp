// SPDX-License-Identifier: Apache-2.0
#include "exec/interpreter.h"

#include <algorithm>
#include <cstring>

#include "check/reporter.h"
#include "exec/fragments.h"

namespace gpusim {
namespace {

constexpr int kSliceInstructions = 384;

void fillWarp(Warp& w, const Dim3& block, uint32_t threads) {
  w.live = 0;
  auto lanes = [&](WarpSpecial s) { return w.special.data() + s * kLanes; };
  for (uint32_t i = 0; i < kLanes; ++i) {
    const uint32_t t = w.index * kLanes + i;
    if (t < threads) w.live |= 1u << i;
    lanes(kTidX)[i] = t % block.x;
    lanes(kTidY)[i] = t / block.x % block.y;
    lanes(kTidZ)[i] = t / (block.x * block.y);
    lanes(kLaneId)[i] = i;
    lanes(kWarpId)[i] = w.index;
    lanes(kLaneEq)[i] = 1u << i;
    lanes(kLaneLt)[i] = (1u << i) - 1;
    lanes(kLaneLe)[i] = (2u << i) - 1;
    lanes(kLaneGe)[i] = ~((1u << i) - 1);
    lanes(kLaneGt)[i] = ~((2u << i) - 1);
  }
}

void fillBlock(Block& b, const LaunchState& l) {
  auto set = [&](BlockSpecial s, uint32_t value) { std::fill_n(b.special.data() + s * kLanes, kLanes, value); };
  const Dim3 &g = l.config->grid, &t = l.config->block;
  const DeviceModel& model = l.device->model;
  set(kNtidX, t.x), set(kNtidY, t.y), set(kNtidZ, t.z);
  set(kCtaidX, b.id[0]), set(kCtaidY, b.id[1]), set(kCtaidZ, b.id[2]);
  set(kNctaidX, g.x), set(kNctaidY, g.y), set(kNctaidZ, g.z);
  set(kNwarpid, uint32_t(model.warpsPerSm));
  set(kSmid, uint32_t(b.index % uint64_t(model.smCount)));
  set(kNsmid, uint32_t(model.smCount));
  set(kGrididLow, uint32_t(l.serial));
  set(kZero, 0), set(kOne, 1);
  set(kEnvreg1, uint32_t(l.workspace >> 32)), set(kEnvreg2, uint32_t(l.workspace));
  set(kDynamicShared, l.config->dynamicShared);
  set(kTotalShared, l.sharedBytes), set(kMaxShared, l.sharedBytes);
}

void startWarp(Warp& w, Block& b, uint32_t index) {
  const LaunchState& l = *b.launch;
  w.block = &b;
  w.index = index;
  for (auto& f : w.frames) w.freeFrames.push_back(std::move(f));
  w.frames.clear();
  w.fragments.clear();
  w.freeRendezvous.clear();
  for (auto& r : w.rendezvous) w.freeRendezvous.push_back(r.get());
  w.current = 0;
  w.syncOperations = 0;
  w.async.clear();
  fillWarp(w, l.config->block, uint32_t(l.config->block.count()));
  const size_t local = size_t(l.stackBytes) * kLanes;
  w.localMemory.resize(local);
  fillPattern(w.localMemory.data(), local, GlobalMemory::kPoison);
  w.localInit.assign(local / 8 + 1, 0);
  Frame* frame = newFrame(w, *l.entry);
  frame->lanes = w.live;
  frame->localBase = 0;
  frame->localTop = l.entry->localBytes;
  Fragment f;
  f.mask = w.live;
  f.pc = l.entry->pc;
  f.frame = frame;
  w.fragments.push_back(f);
}

uint32_t waitingTogether(const Warp& w, const Fragment& f) {
  uint32_t lanes = 0;
  for (const Fragment& g : w.fragments) {
    if (g.state != FragmentState::WaitLanes || g.waitKind != f.waitKind || g.waitMembers != f.waitMembers) continue;
    if (f.waitKind == WaitKind::WarpBarrier || (g.pc == f.pc && g.frame == f.frame)) lanes |= g.waitMask;
  }
  return lanes;
}

uint32_t wanted(const Warp& w, const Fragment& f) {
  return f.waitKind == WaitKind::BlockBarrier ? w.live : f.waitMembers & w.live;
}

std::string maskText(uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

/// True when the launch goes on without the missing lanes.
bool reportMissing(Context& c, const Warp& w, const Fragment& f) {
  const Instruction& in = c.launch->module->code[f.pc];
  const uint32_t present = waitingTogether(w, f), need = wanted(w, f);
  if (f.waitKind == WaitKind::BlockBarrier)
    return hazard(c, in, ReportKind::Barrier, lowestLane(f.mask),
                  "barrier in divergent code: reached by lanes " + maskText(present) +
                      " of a warp whose live lanes are " + maskText(need));
  return hazard(c, in, ReportKind::WarpSync, lowestLane(f.mask),
                "warp-synchronous instruction with lanes missing: its mask names live lanes " + maskText(need) +
                    ", of which only " + maskText(present & need) + " came");
}

/// No fragment of the warp is ready: finds out whether that will change by itself. True when one is ready again.
bool unblock(Context& c) {
  Warp& w = *c.warp;
  bool atBarrier = false;
  for (Fragment& f : w.fragments) {
    atBarrier |= f.state == FragmentState::WaitBarrier;
    if (f.state == FragmentState::WaitLanes && (wanted(w, f) & ~waitingTogether(w, f)) == 0) {
      f.state = FragmentState::Ready;
      return true;
    }
  }
  for (Fragment& f : w.fragments) {
    if (f.state != FragmentState::WaitLanes) continue;
    // lanes at a barrier of the block may still come to an exchange, but a barrier counts its threads one by one
    if (atBarrier && f.waitKind != WaitKind::BlockBarrier) continue;
    if (c.launch->checks.sync && !reportMissing(c, w, f)) return false;
    f.alone = true;
    f.state = FragmentState::Ready;
    return true;
  }
  return !atBarrier && unparkAll(w);
}

SliceResult runWarp(Context& c) {
  Warp& w = *c.warp;
  if (!selectFragment(w) && !(unblock(c) && selectFragment(w))) {
    if (c.event == Event::Stop) return SliceResult::Stopped;
    return w.fragments.empty() ? SliceResult::Finished : SliceResult::Blocked;
  }
  enterFragment(c, w.current);
  c.event = Event::None;
  c.polls = 0;
  const Instruction* code = c.launch->module->code.data();
  SiteCounters* sites = c.worker->sites.data();
  int budget = kSliceInstructions / 2 + int(c.block->random.below(kSliceInstructions));
  while (true) {
    const uint32_t pc = c.pc++;
    const Instruction& in = code[pc];
    uint32_t mask = c.active;
    if (in.guard != kNoRef) mask &= c.predicate(in.guard) ^ in.guardFlip;
    SiteCounters& site = sites[pc];
    ++site.warps;
    site.lanes += uint32_t(__builtin_popcount(mask));
    if (mask) {
      c.mask = mask;
      in.run(c, in);
      if (c.event != Event::None) break;
    }
    if (--budget <= 0) {
      c.event = Event::Yield;
      break;
    }
  }
  switch (c.event) {
    case Event::Yield:
      leaveFragment(c);
      return SliceResult::More;
    case Event::Stop:
      return SliceResult::Stopped;
    default:
      return w.fragments.empty() ? SliceResult::Finished : SliceResult::More;
  }
}

void reportDeadlock(Context& c, Block& b) {
  for (uint32_t id = 0; id < b.barriers.size(); ++id) {
    const Barrier& barrier = b.barriers[id];
    if (!barrier.active || barrier.waiters.empty()) continue;
    const BarrierWaiter& waiter = barrier.waiters.front();
    c.warp = b.warps[waiter.warp].get();
    raise(c, c.launch->module->code[waiter.pc], ReportKind::Barrier, lowestLane(waiter.mask),
          "deadlock: barrier " + std::to_string(id) + " was reached by " + std::to_string(barrier.arrived) + " of " +
              std::to_string(barrier.expected ? barrier.expected : b.liveThreads) +
              " threads, and no other thread of the block can run");
    // the GPU would hang here
    note(c, c.launch->module->code[waiter.pc], ReportKind::Timeout, lowestLane(waiter.mask),
         "the launch never ends: mismatched barriers");
    return;
  }
}

}  // namespace

bool gatherLanes(Context& c, const Instruction& in, uint32_t members, WaitKind kind) {
  Warp& w = *c.warp;
  Fragment& f = w.fragments[w.current];
  if (kind != WaitKind::BlockBarrier && (c.mask & ~members) && c.launch->checks.sync &&
      !hazard(c, in, ReportKind::WarpSync, lowestLane(c.mask & ~members),
              "a lane executes a warp-synchronous instruction whose mask " + maskText(members) + " does not name it"))
    return false;
  const uint32_t need = (kind == WaitKind::BlockBarrier ? ~0u : members) & w.live;
  if (!(need & ~c.mask)) return true;
  if (f.alone) {
    f.alone = false;
    return true;
  }
  f.pc = c.pc - 1;
  f.frame = c.frame;
  f.mask = c.active;
  f.state = FragmentState::WaitLanes;
  f.waitKind = kind;
  f.waitMembers = members;
  f.waitMask = c.mask;
  const uint32_t together = waitingTogether(w, f);
  if (need & ~together) {
    c.event = Event::Blocked;
    return false;
  }
  for (Fragment& g : w.fragments) {
    if (g.state != FragmentState::WaitLanes || g.waitKind != kind || g.waitMembers != members) continue;
    if (kind != WaitKind::WarpBarrier && (g.pc != f.pc || g.frame != f.frame)) continue;
    g.state = FragmentState::Ready;
    if (kind == WaitKind::BlockBarrier || &g == &f) continue;  // each fragment then waits at the barrier itself
    ++g.pc;
  }
  if (kind == WaitKind::BlockBarrier) {
    for (Fragment& g : w.fragments)
      if (&g != &f && g.state == FragmentState::Ready && g.pc == f.pc && g.frame == f.frame) g.alone = true;
    return true;
  }
  if (kind == WaitKind::Instruction) c.mask = together;
  return true;
}

void startBlock(Block& b, LaunchState& launch, Worker& worker, uint64_t index, uint64_t position) {
  const Dim3& grid = launch.config->grid;
  b.launch = &launch;
  b.worker = &worker;
  b.index = index;
  b.position = position;
  b.id[0] = uint32_t(index % grid.x);
  b.id[1] = uint32_t(index / grid.x % grid.y);
  b.id[2] = uint32_t(index / (uint64_t(grid.x) * grid.y));
  b.liveThreads = uint32_t(launch.config->block.count());
  b.warpCount = (b.liveThreads + kLanes - 1) / kLanes;
  b.random = Random(launch.seed ^ (index + 1) * 0x9E3779B97F4A7C15ull);
  b.acquired = b.pendingAcquire = b.fenceTime = 0;
  b.polled = false;
  b.printed.clear();
  b.barriers = {};
  b.shared.resize(launch.sharedBytes);
  fillPattern(b.shared.data(), b.shared.size(), GlobalMemory::kPoison);
  b.sharedInit.assign(launch.sharedBytes / 8 + 1, 0);
  b.race.reset(launch.sharedBytes, launch.checks.race ? launch.code->minStoreBytes : 0, b.warpCount);
  fillBlock(b, launch);
  while (b.warps.size() < b.warpCount) b.warps.push_back(std::make_unique<Warp>());
  for (uint32_t w = 0; w < b.warpCount; ++w) startWarp(*b.warps[w], b, w);
}

SliceResult runBlock(Block& b, uint32_t slices) {
  Context c;
  c.block = &b;
  c.worker = b.worker;
  c.launch = b.launch;
  c.base[kBlockBase] = reinterpret_cast<uint8_t*>(b.special.data());
  b.polled = false;
  for (uint32_t s = 0; s < slices && !b.polled; ++s) {
    // warps in random order, starting anywhere, until one makes progress
    const uint32_t start = b.random.below(b.warpCount);
    bool ran = false;
    for (uint32_t k = 0; k < b.warpCount && !ran; ++k) {
      Warp& w = *b.warps[(start + k) % b.warpCount];
      if (w.fragments.empty()) continue;
      c.warp = &w;
      c.base[kWarpBase] = reinterpret_cast<uint8_t*>(w.special.data());
      const SliceResult r = runWarp(c);
      if (r == SliceResult::Stopped || c.launch->stopped(b.position)) return SliceResult::Stopped;
      ran = r != SliceResult::Blocked;
    }
    if (!b.liveThreads) return SliceResult::Finished;
    if (!ran) {
      reportDeadlock(c, b);
      return SliceResult::Stopped;
    }
  }
  return SliceResult::More;
}

}  // namespace gpusim
