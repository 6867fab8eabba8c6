// SPDX-License-Identifier: Apache-2.0
// Barriers of the block: bar, barrier; fences.
#include "exec/access.h"
#include "exec/decoder.h"
#include "exec/fragments.h"
#include "exec/interpreter.h"
#include "exec/ordering.h"

namespace gpusim {

using ptx::Operand;
using ptx::Statement;
using ptx::Type;

namespace {

void complete(Block& b, Barrier& barrier) {
  const bool all = barrier.reduceCount == barrier.participants, any = barrier.reduceCount > 0;
  for (const BarrierWaiter& waiter : barrier.waiters) {
    Fragment& f = b.warps[waiter.warp]->fragments[waiter.fragment];
    f.state = FragmentState::Ready;
    if (waiter.destination == kNoRef) continue;
    uint8_t* registers = f.frame->registers + (waiter.destination & 0x3FFFFFFF);
    if (barrier.operation == kReducePopc) {
      auto* d = reinterpret_cast<uint32_t*>(registers);
      for (uint32_t m = waiter.mask; m; m &= m - 1) d[lowestLane(m)] = barrier.reduceCount;
    } else {
      auto* p = reinterpret_cast<uint32_t*>(registers);
      const bool value = barrier.operation == kReduceAnd ? all : any;
      *p = value ? *p | waiter.mask : *p & ~waiter.mask;
    }
  }
  if (b.race.enabled()) b.race.barrier(barrier.warps);
  b.worker->idlePolls = 0;
  barrier = {};
}

bool isComplete(const Block& b, const Barrier& barrier) {
  return barrier.active && barrier.arrived >= (barrier.expected ? barrier.expected : b.liveThreads) &&
         barrier.arrived > 0;
}

struct BarrierPayload {
  Ref id = kNoRef, threads = kNoRef, predicate = kNoRef;
  uint8_t reduce = kNoReduce;
  bool waits = true, aligned = true;
};

void barrier(Context& c, const Instruction& in) {
  const auto& p = *static_cast<const BarrierPayload*>(in.payload);
  if (p.aligned && !gatherLanes(c, in, kAllLanes, WaitKind::BlockBarrier)) return;
  BarrierArrival arrival;
  const uint32_t lane = lowestLane(c.mask);
  arrival.id = c.at<uint32_t>(p.id)[lane];
  arrival.threads = p.threads == kNoRef ? 0 : c.at<uint32_t>(p.threads)[lane];
  arrival.waits = p.waits;
  arrival.reduce = p.reduce;
  arrival.predicate = p.predicate == kNoRef ? 0 : c.predicate(p.predicate);
  arrival.destination = in.dst;
  arriveAtBarrier(c, in, arrival);
}

void warpBarrier(Context& c, const Instruction& in) {
  forEachMemberGroup(c, in.a, [&](uint32_t members) {
    if (!gatherLanes(c, in, members, WaitKind::WarpBarrier)) return;
    if (c.block->race.enabled()) c.block->race.warpSync(c.warp->index);
  });
}

void fence(Context& c, const Instruction& in) {
  if (in.aux) deviceFence(c);
}

void nothing(Context&, const Instruction&) {}

void sleep(Context& c, const Instruction& in) { polled(c, in); }

bool decodeBarrier(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool isBar = s.op[0] == "bar";
  m.take("cta");
  in.kind = InstructionClass::Barrier;
  if (m.take("warp")) {
    if (!m.take("sync")) throw Unsupported{"variant"};
    m.done();
    in.a = d.source(s.operands.at(0), 4);
    in.run = warpBarrier;
    in.kind = InstructionClass::WarpSync;
    return true;
  }
  auto* p = d.payload<BarrierPayload>();
  p->aligned = m.take("aligned") || isBar;
  size_t next = 0;
  if (m.take("red")) {
    const bool popc = m.take("popc");
    p->reduce = popc ? kReducePopc : m.take("and") ? kReduceAnd : m.take("or") ? kReduceOr : kNoReduce;
    if (p->reduce == kNoReduce) throw Unsupported{"reduction"};
    m.type();
    in.dst = popc ? d.destination(s.operands.at(0), 4) : d.predicateDestination(s.operands.at(0));
    next = 1;
  } else {
    p->waits = !m.take("arrive");
    if (p->waits && !m.take("sync")) throw Unsupported{"variant"};
  }
  m.done();
  p->id = d.source(s.operands.at(next++), 4);
  const size_t end = s.operands.size() - (p->reduce ? 1 : 0);
  if (next < end) p->threads = d.source(s.operands[next], 4);
  if (p->reduce) p->predicate = d.predicateSource(s.operands.back());
  in.payload = p;
  in.run = barrier;
  return true;
}

}  // namespace

void arriveAtBarrier(Context& c, const Instruction& in, const BarrierArrival& a) {
  Block& b = *c.block;
  Warp& w = *c.warp;
  const uint32_t lane = lowestLane(c.mask);
  if (a.id >= b.barriers.size()) {
    raise(c, in, ReportKind::Barrier, lane, "barrier number " + std::to_string(a.id) + " (0 to 15 are allowed)");
    return;
  }
  Barrier& barrier = b.barriers[a.id];
  if (a.threads % kLanes) {
    raise(c, in, ReportKind::Barrier, lane,
          "thread count " + std::to_string(a.threads) + " of a barrier is not a multiple of 32");
    return;
  }
  if (barrier.active && barrier.expected != a.threads && c.launch->checks.sync &&
      !hazard(c, in, ReportKind::Barrier, lane,
              "mismatched barrier: " + std::to_string(a.threads) + " threads expected here, " +
                  std::to_string(barrier.expected) + " by those who came before (0: all)"))
    return;
  ++c.worker->barriers;
  barrier.active = true;
  barrier.expected = a.threads;
  barrier.arrived += uint32_t(__builtin_popcount(c.mask));
  // a counted barrier counts whole warps: lanes that do not exist come with the lowest live one
  if (a.threads && (c.mask & w.live & (0 - w.live))) barrier.arrived += uint32_t(__builtin_popcount(~w.live));
  barrier.operation = a.reduce;
  barrier.participants += uint32_t(__builtin_popcount(c.mask));
  barrier.reduceCount += uint32_t(__builtin_popcount(a.predicate & c.mask));
  barrier.warps |= 1u << w.index;
  if (a.waits) {
    leaveFragment(c);
    Fragment& f = w.fragments[w.current];
    f.state = FragmentState::WaitBarrier;
    barrier.waiters.push_back({w.index, w.current, c.mask, c.pc - 1, a.destination});
    c.event = Event::Blocked;
  }
  if (isComplete(b, barrier)) complete(b, barrier);
}

void barriersAfterExit(Block& b) {
  for (Barrier& barrier : b.barriers)
    if (!barrier.expected && b.liveThreads && isComplete(b, barrier)) complete(b, barrier);
}

bool decodeSynchronisation(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  if (op == "bar" || op == "barrier") return decodeBarrier(d, s, in);
  if (op == "membar" || op == "fence") {
    in.run = fence;
    in.kind = InstructionClass::Fence;
    // all virtual addresses of a place see the same memory, which is what .proxy.alias asks for
    const bool alias = s.op.size() == 3 && s.has("proxy") && s.has("alias");
    const bool known = op == "membar" ? s.op.size() == 2 : s.op.size() >= 2;
    if (!alias && (!known || s.has("proxy") || s.has("mbarrier_init"))) throw Unsupported{"variant"};
    in.aux = alias || s.has("gl") || s.has("sys") || s.has("gpu") || s.has("cluster");
    return true;
  }
  if (op == "nanosleep") {
    in.run = sleep;
    in.kind = InstructionClass::Control;
    return true;
  }
  if (op == "griddepcontrol" || op == "prefetch" || op == "prefetchu" || op == "applypriority" || op == "discard" ||
      op == "pmevent") {
    in.run = nothing;  // no effect that a program can see
    in.kind = InstructionClass::Control;
    return true;
  }
  return false;
}

}  // namespace gpusim
