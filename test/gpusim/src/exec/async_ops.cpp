// SPDX-License-Identifier: Apache-2.0
// cp.async: the source is read at issue, the destination written at the wait. In between, shared memory holds a poison
// pattern and counts as uninitialised.
#include <algorithm>
#include <cstring>

#include "check/reporter.h"
#include "exec/access.h"
#include "exec/decoder.h"
#include "exec/ordering.h"

namespace gpusim {

using ptx::Operand;
using ptx::Space;
using ptx::Statement;

namespace {

constexpr uint16_t kInFlight = 0x7FFA;  // NaN in every 16- and 32-bit format

struct AsyncCopyOp {
  Ref sourceBase = kNoRef, size = kNoRef, ignore = kNoRef;
  bool sourceWide = true, destinationWide = false;
  int64_t sourceOffset = 0;
  Space sourceSpace = Space::Global;
  uint32_t bytes = 16;
};

bool resolveLanes(Context& c, const Instruction& in, Access a, Lanes& lanes, uint32_t mask) {
  const uint32_t saved = c.mask;
  c.mask = mask;
  const bool ok = !mask || resolve(c, in, a, lanes);
  c.mask = saved;
  return ok;
}

void asyncCopy(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const AsyncCopyOp*>(in.payload);
  AsyncCopies& async = c.warp->async;
  Lanes from, to;
  laneAddresses(c, op.sourceBase, op.sourceWide, uint64_t(op.sourceOffset), from);
  laneAddresses(c, in.a, op.destinationWide, in.imm, to);
  // lanes by number of source bytes: usually all or nothing
  std::array<uint32_t, kLanes> bytes;
  bytes.fill(op.bytes);
  for (uint32_t i = 0; i < kLanes; ++i) {
    if (op.size != kNoRef) bytes[i] = c.at<uint32_t>(op.size)[i];
    if (op.ignore != kNoRef && (c.predicate(op.ignore) >> i & 1)) bytes[i] = 0;
    if ((c.mask >> i & 1) && bytes[i] > op.bytes) {
      raise(
          c, in, ReportKind::OutOfBounds, i,
          "cp.async with a source size of " + std::to_string(bytes[i]) + " of " + std::to_string(op.bytes) + " bytes");
      return;
    }
  }
  AsyncCopies::Entry e;
  e.lanes = c.mask;
  e.bytes = op.bytes;
  e.pc = c.pc - 1;
  e.group = async.open;
  std::memset(e.data.data(), 0, sizeof e.data);
  for (uint32_t rest = c.mask; rest;) {
    const uint32_t n = bytes[lowestLane(rest)];
    uint32_t same = 0;
    for (uint32_t m = rest; m; m &= m - 1)
      if (bytes[lowestLane(m)] == n) same |= 1u << lowestLane(m);
    rest &= ~same;
    if (!n) continue;
    Access a;
    a.space = op.sourceSpace;
    a.bytes = n;
    // a partial copy need not be a power of two: only the full size decides alignment
    if (n != op.bytes) a.checkAlignment = op.bytes;
    if (!resolveLanes(c, in, a, from, same)) return;
    for (uint32_t m = same; m; m &= m - 1) std::memcpy(e.data[lowestLane(m)].data(), from.pointer[lowestLane(m)], n);
  }
  Access a;
  a.space = Space::Shared;
  a.bytes = op.bytes;
  a.write = true, a.read = false;
  if (!resolveLanes(c, in, a, to, c.mask)) return;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    e.destination[lane] = uint32_t(to.pointer[lane] - c.block->shared.data());
    fillPattern(to.pointer[lane], op.bytes, kInFlight);
    setBits(c.block->sharedInit.data(), e.destination[lane], op.bytes, false);
  }
  async.entries.push_back(e);
}

void commitGroup(Context& c, const Instruction&) {
  for (uint32_t m = c.mask; m; m &= m - 1) ++c.warp->async.open[lowestLane(m)];
}

/// Lands the copies of the active lanes in all but the `pending` youngest groups; pending < 0: everything issued.
void landGroups(Context& c, const Instruction& in, int pending) {
  AsyncCopies& async = c.warp->async;
  Block& b = *c.block;
  for (AsyncCopies::Entry& e : async.entries) {
    for (uint32_t m = e.lanes & c.mask; m; m &= m - 1) {
      const uint32_t lane = lowestLane(m);
      const bool lands = pending < 0 || int64_t(e.group[lane]) < int64_t(async.open[lane]) - pending;
      if (!lands) continue;
      const uint32_t at = e.destination[lane];
      if (b.race.enabled()) {
        const RaceHit hit = b.race.write(c.warp->index, lane, at, e.bytes, e.pc, false, false);
        if (hit.found) c.launch->reporter->sharedRace(c, in, lane, hit, true, at);
      }
      std::memcpy(b.shared.data() + at, e.data[lane].data(), e.bytes);
      setBits(b.sharedInit.data(), at, e.bytes, true);
      e.lanes &= ~(1u << lane);
    }
  }
  std::erase_if(async.entries, [](const AsyncCopies::Entry& e) { return !e.lanes; });
  progressed(c);
}

void waitGroup(Context& c, const Instruction& in) { landGroups(c, in, int(in.imm)); }

bool decodeCopy(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  m.take("async");
  m.take("ca");
  m.take("cg");
  if (!m.take("shared") && !m.take("shared::cta")) throw Unsupported{"destination"};
  if (!m.take("global")) throw Unsupported{"source"};
  for (const char* hint : {"L2::64B", "L2::128B", "L2::256B"}) m.take(hint);
  const bool hint = m.take("L2::cache_hint");
  m.done();
  auto* op = d.payload<AsyncCopyOp>();
  unsigned baseBytes;
  int64_t offset;
  const Symbol* sym;
  in.a = d.address(s.operands.at(0), baseBytes, offset, &sym);
  op->destinationWide = baseBytes == 8;
  in.imm = uint64_t(offset);
  op->sourceBase = d.address(s.operands.at(1), baseBytes, op->sourceOffset, &sym);
  op->sourceWide = baseBytes == 8;
  const Operand& size = s.operands.at(2);
  if (size.kind != Operand::Kind::Integer || (size.value != 4 && size.value != 8 && size.value != 16))
    throw Unsupported{"copy size"};
  op->bytes = uint32_t(size.value);
  const size_t optional = s.operands.size() - (hint ? 1 : 0);
  if (optional > 3) {
    const Operand& o = s.operands[3];
    if (d.isPredicate(o))
      op->ignore = d.predicateSource(o);
    else
      op->size = d.source(o, 4);
  }
  if (optional > 4) throw Unsupported{"number of operands"};
  in.payload = op;
  in.run = asyncCopy;
  return true;
}

}  // namespace

void landCopies(Context& c, const Instruction& in) { landGroups(c, in, -1); }

bool decodeAsyncCopy(Decoder& d, const Statement& s, Instruction& in) {
  if (s.op[0] != "cp" || s.op.size() < 3 || s.op[1] != "async") return false;
  in.kind = InstructionClass::AsyncCopy;
  const std::string& what = s.op[2];
  if (what == "commit_group")
    in.run = commitGroup;
  else if (what == "wait_all")
    in.run = landCopies;
  else if (what == "wait_group") {
    if (s.operands.at(0).kind != Operand::Kind::Integer) throw Unsupported{"group count is not a constant"};
    in.imm = s.operands[0].value;
    in.run = waitGroup;
  } else if (what == "ca" || what == "cg") {
    return decodeCopy(d, s, in);
  } else {
    throw Unsupported{"variant"};
  }
  return true;
}

}  // namespace gpusim
