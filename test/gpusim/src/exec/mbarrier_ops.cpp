// SPDX-License-Identifier: Apache-2.0
// mbarrier objects in shared memory, as sm_80 has them (arrivals, without transaction counts).
//
// PTX leaves the 64-bit contents open. Here: pending arrivals in bits 0 to 19, expected arrivals in bits 20 to 39, the
// number of the phase above. The state that mbarrier.arrive returns is the object as it was before.
#include <cstring>

#include "exec/access.h"
#include "exec/async_copy.h"
#include "exec/decoder.h"
#include "exec/ordering.h"

namespace gpusim {

using ptx::Operand;
using ptx::Space;
using ptx::Statement;

namespace {

constexpr uint64_t kCount = (1u << 20) - 1;
uint64_t pendingOf(uint64_t word) { return word & kCount; }
uint64_t expectedOf(uint64_t word) { return word >> 20 & kCount; }
uint64_t phaseOf(uint64_t word) { return word >> 40; }
uint64_t wordOf(uint64_t pending, uint64_t expected, uint64_t phase) { return pending | expected << 20 | phase << 40; }

enum class Wait : uint8_t { State, Parity };

struct MbarrierOp {
  Space space = Space::Generic;
  Ref count = kNoRef;  ///< arrivals; none: one
  Ref phase = kNoRef;  ///< of a wait: state or parity
  Wait wait = Wait::State;
  bool drop = false;         ///< later phases expect the arrivals no more
  bool mayComplete = true;   ///< not with .noComplete
  bool compensated = false;  ///< cp.async.mbarrier.arrive without .noinc: the arrival was added to the pending ones
};

/// The objects that the active lanes name; false when the launch was stopped.
bool objects(Context& c, const Instruction& in, bool write, bool initialised, Lanes& lanes) {
  const auto& op = *static_cast<const MbarrierOp*>(in.payload);
  laneAddresses(c, in.a, in.aux & 1, in.imm, lanes);
  Access a;
  a.space = op.space;
  a.bytes = 8;
  a.write = write;
  a.read = initialised;
  a.synchronises = true;
  if (!resolve(c, in, a, lanes)) return false;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    if (lanes.space[lane] == Space::Shared) continue;
    raise(c, in, ReportKind::OutOfBounds, lane, "an mbarrier object must lie in shared memory", lanes.address[lane]);
    return false;
  }
  return true;
}

uint64_t load(const uint8_t* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}
void store(uint8_t* p, uint64_t word) { std::memcpy(p, &word, sizeof word); }

void initialise(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const MbarrierOp*>(in.payload);
  Lanes lanes;
  if (!objects(c, in, true, false, lanes)) return;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const uint64_t count = c.at<uint32_t>(op.count)[lane];
    if (!count || count > kCount) {
      raise(c, in, ReportKind::Barrier, lane,
            "mbarrier.init with a count of " + std::to_string(count) + " (1 to 1048575 are allowed)");
      return;
    }
    store(lanes.pointer[lane], wordOf(count, count, 0));
  }
  progressed(c);
}

void invalidate(Context& c, const Instruction& in) {
  Lanes lanes;
  if (!objects(c, in, true, true, lanes)) return;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    setBits(c.block->sharedInit.data(), uint64_t(lanes.pointer[lane] - c.block->shared.data()), 8, false);
  }
}

void arrive(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const MbarrierOp*>(in.payload);
  Lanes lanes;
  if (!objects(c, in, true, true, lanes)) return;
  synchronise(c, lanes, true, true, true);
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const uint64_t word = load(lanes.pointer[lane]);
    if (in.dst != kNoRef) c.at<uint64_t>(in.dst)[lane] = word;
    if (op.compensated) continue;
    const uint64_t count = op.count == kNoRef ? 1 : c.at<uint32_t>(op.count)[lane];
    if (!count || count > pendingOf(word) || (count == pendingOf(word) && !op.mayComplete)) {
      raise(c, in, ReportKind::Barrier, lane,
            std::to_string(count) + " arrivals at an mbarrier that expects " + std::to_string(pendingOf(word)) +
                " more in this phase" + (op.mayComplete ? "" : ", which .noComplete must not complete"));
      return;
    }
    const uint64_t expected = expectedOf(word) - (op.drop ? count : 0), pending = pendingOf(word) - count;
    store(lanes.pointer[lane],
          pending ? wordOf(pending, expected, phaseOf(word)) : wordOf(expected, expected, phaseOf(word) + 1));
  }
  progressed(c);
  ++c.warp->syncOperations;
}

/// The copies land here, before the arrival that tells of them; who reads them without waiting for it races with them.
void arriveWithCopies(Context& c, const Instruction& in) {
  landCopies(c, in);
  if (c.event == Event::None) arrive(c, in);
}

void test(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const MbarrierOp*>(in.payload);
  Lanes lanes;
  if (!objects(c, in, false, true, lanes)) return;
  uint32_t complete = 0;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const uint64_t phase = phaseOf(load(lanes.pointer[lane]));
    const bool done = op.wait == Wait::Parity ? (phase & 1) != (c.at<uint32_t>(op.phase)[lane] & 1)
                                              : phase != phaseOf(c.at<uint64_t>(op.phase)[lane]);
    if (done) complete |= 1u << lane;
  }
  c.setPredicate(in.dst, complete);
  if (complete) synchronise(c, lanes, true, false, false);
  if (complete != c.mask) polled(c, in);
}

void pendingCount(Context& c, const Instruction& in) {
  const uint64_t* state = c.at<uint64_t>(in.a);
  uint32_t* d = c.at<uint32_t>(in.dst);
  for (uint32_t m = c.mask; m; m &= m - 1) d[lowestLane(m)] = uint32_t(pendingOf(state[lowestLane(m)]));
}

void takeObject(Decoder& d, const Operand& o, Instruction& in) {
  unsigned baseBytes;
  int64_t offset;
  const Symbol* sym;
  in.a = d.address(o, baseBytes, offset, &sym);
  in.aux = baseBytes == 8;
  in.imm = uint64_t(offset);
}

void takeSpace(Modifiers& m, MbarrierOp& op) {
  if (m.take("shared") || m.take("shared::cta")) op.space = Space::Shared;
}

/// What is always so within a block: order and scope.
void takeOrder(Modifiers& m) {
  for (const char* word : {"acquire", "release", "cta"}) m.take(word);
}

}  // namespace

bool decodeMbarrier(Decoder& d, const Statement& s, Instruction& in) {
  const bool copies = s.op[0] == "cp" && s.op.size() > 3 && s.op[2] == "mbarrier";
  if (s.op[0] != "mbarrier" && !copies) return false;
  Modifiers m(s);
  auto* op = d.payload<MbarrierOp>();
  in.payload = op;
  in.kind = InstructionClass::Barrier;
  size_t next = 0;
  const auto operand = [&]() -> const Operand& { return s.operands.at(next++); };
  if (copies) {
    m.take("async"), m.take("mbarrier"), m.take("arrive");
    op->compensated = !m.take("noinc");
    takeSpace(m, *op);
    takeObject(d, operand(), in);
    in.run = arriveWithCopies;
  } else if (m.take("init")) {
    takeSpace(m, *op);
    takeObject(d, operand(), in);
    op->count = d.source(operand(), 4);
    in.run = initialise;
  } else if (m.take("inval")) {
    takeSpace(m, *op);
    takeObject(d, operand(), in);
    in.run = invalidate;
  } else if (m.take("arrive") || (op->drop = m.take("arrive_drop"))) {
    op->mayComplete = !m.take("noComplete");
    takeOrder(m);
    takeSpace(m, *op);
    in.dst = d.destination(operand(), 8);
    takeObject(d, operand(), in);
    if (next < s.operands.size()) op->count = d.source(operand(), 4);
    in.run = arrive;
  } else if (m.take("test_wait") || m.take("try_wait")) {
    op->wait = m.take("parity") ? Wait::Parity : Wait::State;
    takeOrder(m);
    takeSpace(m, *op);
    in.dst = d.predicateDestination(operand());
    takeObject(d, operand(), in);
    op->phase = d.source(operand(), op->wait == Wait::Parity ? 4 : 8);
    if (next < s.operands.size()) ++next;  // how long try_wait may suspend the thread
    in.run = test;
  } else if (m.take("pending_count")) {
    in.dst = d.destination(operand(), 4);
    in.a = d.source(operand(), 8);
    in.run = pendingCount;
  } else {
    throw Unsupported{"variant"};
  }
  m.type();
  m.done();
  if (next != s.operands.size()) throw Unsupported{"number of operands"};
  return true;
}

}  // namespace gpusim
