// SPDX-License-Identifier: Apache-2.0
/// @file context.h
/// State of running warps and blocks, and the view of it that an instruction handler gets.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "check/race.h"
#include "engine.h"
#include "exec/async_copy.h"
#include "exec/code.h"
#include "exec/random.h"

namespace gpusim {

struct Block;
struct Warp;
struct Worker;
struct LaunchState;

/// One activation of a function, shared by the lanes that called together.
struct Frame {
  std::unique_ptr<uint8_t[]> storage;
  size_t capacity = 0;
  uint8_t* registers = nullptr;  ///< 64-byte aligned
  std::vector<uint8_t> params;   ///< 32 x paramBytes
  const FunctionCode* function = nullptr;
  const CallSite* site = nullptr;  ///< in the caller
  Frame* parent = nullptr;
  uint32_t returnPc = 0;
  uint32_t localBase = 0;  ///< offset of the function's variables in a lane's local memory
  uint32_t localTop = 0;   ///< end of what is in use, moved by alloca
  uint32_t lanes = 0;      ///< lanes that have not returned
  uint32_t carry = 0;      ///< CC.CF of each lane
};

/// A point where lanes that diverged are expected to meet again.
struct Rendezvous {
  uint32_t pc = 0;
  Frame* frame = nullptr;
  Rendezvous* parent = nullptr;
  uint32_t expected = 0;  ///< lanes that still can arrive
  uint32_t arrived = 0;
  int references = 0;
};

enum class FragmentState : uint8_t { Ready, Parked, WaitLanes, WaitBarrier };

/// What lanes in WaitLanes wait at: an instruction to execute together, a bar.warp.sync (any of the same members), or a
/// block barrier that all live lanes must reach together.
enum class WaitKind : uint8_t { Instruction, WarpBarrier, BlockBarrier };

/// Lanes of a warp that share a program counter.
struct Fragment {
  uint32_t mask = 0;
  uint32_t pc = 0;
  Frame* frame = nullptr;
  Rendezvous* rendezvous = nullptr;
  FragmentState state = FragmentState::Ready;
  uint64_t parkedAt = 0;     ///< Warp::syncOperations then
  uint32_t waitMask = 0;     ///< WaitLanes: lanes executing (guard true)
  uint32_t waitMembers = 0;  ///< WaitLanes: lanes that must come
  WaitKind waitKind = WaitKind::Instruction;
  bool alone = false;  ///< go on without the missing lanes (synccheck is off)
};

/// Layout of Warp::special, in units of 32 words.
enum WarpSpecial : uint32_t {
  kTidX,
  kTidY,
  kTidZ,
  kLaneId,
  kWarpId,
  kLaneEq,
  kLaneLt,
  kLaneLe,
  kLaneGe,
  kLaneGt,
  kWarpSpecialCount
};

struct Warp {
  Block* block = nullptr;
  uint32_t index = 0;
  uint32_t live = 0;  ///< lanes that exist and have not exited
  std::vector<Fragment> fragments;
  size_t current = 0;
  std::vector<std::unique_ptr<Frame>> frames;  ///< in use
  std::vector<std::unique_ptr<Frame>> freeFrames;
  std::vector<std::unique_ptr<Rendezvous>> rendezvous;
  std::vector<Rendezvous*> freeRendezvous;
  uint64_t syncOperations = 0;       ///< atomics and other communicating accesses executed
  std::vector<uint8_t> localMemory;  ///< 32 x stack bytes
  std::vector<uint8_t> localInit;    ///< one bit per byte
  AsyncCopies async;
  alignas(64) std::array<uint32_t, kWarpSpecialCount * kLanes> special;
};

/// Layout of Block::special, in units of 32 words.
enum BlockSpecial : uint32_t {
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kNwarpid,
  kSmid,
  kNsmid,
  kGrididLow,
  kZero,
  kOne,
  kEnvreg1,
  kEnvreg2,
  kDynamicShared,
  kTotalShared,
  kMaxShared,
  kBlockSpecialCount
};

struct BarrierWaiter {
  uint32_t warp = 0;
  size_t fragment = 0;
  uint32_t mask = 0;
  uint32_t pc = 0;
  Ref destination = kNoRef;
};

struct Barrier {
  uint32_t expected = 0;  ///< threads; 0: all live threads of the block
  uint32_t arrived = 0;
  uint32_t reduceCount = 0;   ///< bar.red: threads whose predicate was true
  uint32_t participants = 0;  ///< lanes that took part in the reduction
  uint32_t warps = 0;         ///< warps that arrived (for happens-before)
  uint8_t operation = 0;      ///< BarrierReduce
  bool active = false;
  std::vector<BarrierWaiter> waiters;
};

struct Block {
  LaunchState* launch = nullptr;
  Worker* worker = nullptr;
  uint64_t index = 0;
  uint64_t position = 0;  ///< in the order of execution; 0 for all blocks that are interleaved
  uint32_t id[3] = {0, 0, 0};
  std::vector<std::unique_ptr<Warp>> warps;
  uint32_t warpCount = 0;
  uint32_t liveThreads = 0;
  std::vector<uint8_t> shared;
  std::vector<uint8_t> sharedInit;  ///< one bit per byte
  SharedRaceShadow race;
  std::array<Barrier, 16> barriers;
  Random random;
  uint64_t acquired = 0;        ///< global race check: releases up to this time are visible
  uint64_t pendingAcquire = 0;  ///< observed by relaxed accesses, becomes `acquired` at a fence
  uint64_t fenceTime = 0;       ///< writes before this time are covered by a fence
  bool polled = false;          ///< the last slice ended in a polling loop
  std::string printed;
  alignas(64) std::array<uint32_t, kBlockSpecialCount * kLanes> special;
};

/// Why the interpreter leaves its inner loop.
enum class Event : uint8_t { None, Yield, Blocked, Done, Stop };

/// The running fragment. Handlers read operands through `at`, write active lanes only, and may change pc and active.
struct Context {
  uint8_t* base[4] = {};
  uint32_t mask = 0;    ///< lanes executing this instruction
  uint32_t active = 0;  ///< lanes of the fragment
  uint32_t pc = 0;      ///< next instruction
  Event event = Event::None;
  uint32_t polls = 0;  ///< communicating accesses in this slice
  Frame* frame = nullptr;
  Warp* warp = nullptr;
  Block* block = nullptr;
  Worker* worker = nullptr;
  LaunchState* launch = nullptr;

  template <class T>
  T* at(Ref r) const {
    return reinterpret_cast<T*>(base[r >> 30] + (r & 0x3FFFFFFF));
  }
  uint32_t& predicate(Ref r) const { return *at<uint32_t>(r); }
  void setPredicate(Ref r, uint32_t value) const {
    uint32_t& p = predicate(r);
    p = (p & ~mask) | (value & mask);
  }
};

/// Counters of one instruction.
struct SiteCounters {
  uint64_t warps = 0, lanes = 0;
  uint64_t requests = 0, sectors = 0, idealSectors = 0, bytes = 0;  ///< global memory
  uint64_t wavefronts = 0, idealWavefronts = 0;                     ///< shared memory
};

/// The part of an allocation that an access needs.
struct AllocationView {
  uint64_t base = 0, size = 0;
  uint8_t* host = nullptr;
  uint8_t* initBits = nullptr;
  MemoryKind kind = MemoryKind::Device;
};

/// The global allocations accessed last, valid for one generation of the memory.
struct AllocationCache {
  std::array<AllocationView, 8> views;
  size_t last = 0;  ///< the one that was hit
  size_t next = 0;  ///< the one to replace
  uint64_t generation = 0;
};

/// One host thread of a launch.
struct Worker {
  LaunchState* launch = nullptr;
  std::vector<SiteCounters> sites;  ///< by pc
  uint64_t divergentBranches = 0, branches = 0, barriers = 0;
  AllocationCache allocations;
  GlobalRaceShadow race;
  SectorSet touched;
  std::vector<std::unique_ptr<Block>> freeBlocks;
  uint64_t idlePolls = 0;                           ///< communicating accesses since anything in memory changed
  std::chrono::steady_clock::time_point idleSince;  ///< valid from Worker::idlePolls == kStallPolls on
  uint64_t matrixOperations = 0, atomics = 0;
};

/// Everything of one launch.
struct LaunchState {
  DeviceState* device = nullptr;
  const Kernel* kernel = nullptr;
  const LaunchConfig* config = nullptr;
  const KernelCode* code = nullptr;
  const ModuleCode* module = nullptr;
  const FunctionCode* entry = nullptr;
  CheckOptions checks;
  bool profile = false;
  bool interleaved = false;
  uint64_t seed = 0;
  uint32_t sharedBytes = 0;  ///< static and dynamic
  uint32_t stackBytes = 0;   ///< local memory of a lane
  uint64_t serial = 0;
  uint64_t workspace = 0;                 ///< cooperative launch: the grid barrier's memory
  std::atomic<uint64_t> failedAt{~0ull};  ///< least position of a block that failed; those after it stop
  class Reporter* reporter = nullptr;
  uint64_t time = 0;  ///< global race check: release clock (interleaved launches only)
  ReleaseTimes releases;
  std::atomic<bool> stalled{false};  ///< LaunchConfig::stalled has been called

  bool stopped(uint64_t position) const { return position >= failedAt.load(std::memory_order_relaxed); }
  bool failed() const { return failedAt.load() != ~0ull; }
  void fail(uint64_t position) {
    uint64_t now = failedAt.load();
    while (position < now && !failedAt.compare_exchange_weak(now, position)) {
    }
  }
};

/// Stops the launch with an error.
void raise(Context& c, const Instruction& in, ReportKind kind, uint32_t lane, const std::string& message,
           uint64_t address = 0);
/// Notes a finding that does not stop the launch, though it fails it in the end under GPUSIM_STRICT.
void note(Context& c, const Instruction& in, ReportKind kind, uint32_t lane, const std::string& message,
          uint64_t address = 0);
/// Notes what PTX leaves undefined and hardware runs on with: true when the launch goes on. Under GPUSIM_STRICT it
/// stops here.
bool hazard(Context& c, const Instruction& in, ReportKind kind, uint32_t lane, const std::string& message);

inline uint32_t lowestLane(uint32_t mask) { return uint32_t(__builtin_ctz(mask)); }

}  // namespace gpusim
