// SPDX-License-Identifier: Apache-2.0
// Exchange between the lanes of a warp: shfl, vote, match, redux, activemask, elect.
#include <cstring>

#include "exec/decoder.h"
#include "exec/interpreter.h"

namespace gpusim {

using ptx::Operand;
using ptx::Statement;
using ptx::Type;

namespace {

/// Runs `Exchange` for the lanes that take part: all that are here without a member mask (the forms before .sync), else
/// each group of lanes that name the same members, once it is complete.
template <void (*Exchange)(Context&, const Instruction&)>
void together(Context& c, const Instruction& in) {
  const Ref members = Ref(in.imm);
  if (members == kNoRef) return Exchange(c, in);
  forEachMemberGroup(c, members, [&](uint32_t mask) {
    if (gatherLanes(c, in, mask, WaitKind::Instruction)) Exchange(c, in);
  });
}

enum Shuffle { kUp, kDown, kButterfly, kIndex };

/// a: value, b: lane operand, c: clamp and segment mask, payload: member mask; dst2: predicate.
template <int Mode>
void shuffle(Context& c, const Instruction& in) {
  const uint32_t *a = c.at<uint32_t>(in.a), *b = c.at<uint32_t>(in.b), *e = c.at<uint32_t>(in.c);
  alignas(64) uint32_t value[kLanes];
  std::memcpy(value, a, sizeof value);
  uint32_t inside = 0;
  uint32_t* d = c.at<uint32_t>(in.dst);
  uint32_t missing = 0;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const int lane = int(lowestLane(m));
    const int offset = int(b[lane] & 31), clamp = int(e[lane] & 31), segment = int(e[lane] >> 8 & 31);
    const int highest = (lane & segment) | (clamp & ~segment), lowest = lane & segment;
    int j;
    bool ok;
    if (Mode == kUp)
      j = lane - offset, ok = j >= highest;
    else if (Mode == kDown)
      j = lane + offset, ok = j <= highest;
    else if (Mode == kButterfly)
      j = lane ^ offset, ok = j <= highest;
    else
      j = lowest | (offset & ~segment), ok = j <= highest;
    if (!ok) j = lane;
    if (ok) inside |= 1u << lane;
    if (!(c.mask >> j & 1)) missing |= 1u << lane;
    d[lane] = value[j & 31];
  }
  if (in.dst2 != kNoRef) c.setPredicate(in.dst2, inside);
  if (missing && c.launch->checks.sync)
    note(c, in, ReportKind::WarpSync, lowestLane(missing),
         "shfl reads from a lane that does not take part: the value is undefined");
  if (c.block->race.enabled()) c.block->race.warpSync(c.warp->index);
}

enum Vote { kAll, kAny, kUniform, kBallot };

template <int Mode>
void vote(Context& c, const Instruction& in) {
  const uint32_t votes = c.predicate(in.a) & c.mask;
  if (Mode == kBallot) {
    uint32_t* d = c.at<uint32_t>(in.dst);
    for (uint32_t m = c.mask; m; m &= m - 1) d[lowestLane(m)] = votes;
  } else {
    const bool value = Mode == kAll ? votes == c.mask : Mode == kAny ? votes != 0 : votes == c.mask || !votes;
    c.setPredicate(in.dst, value ? kAllLanes : 0);
  }
  if (c.block->race.enabled()) c.block->race.warpSync(c.warp->index);
}

template <class T, bool All>
void match(Context& c, const Instruction& in) {
  const T* a = c.at<T>(in.a);
  alignas(64) T value[kLanes];
  std::memcpy(value, a, sizeof value);
  uint32_t* d = c.at<uint32_t>(in.dst);
  uint32_t allSame = 0;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    uint32_t same = 0;
    for (uint32_t k = c.mask; k; k &= k - 1)
      if (value[lowestLane(k)] == value[lane]) same |= 1u << lowestLane(k);
    if (same == c.mask) allSame |= 1u << lane;
    d[lane] = All ? (same == c.mask ? c.mask : 0) : same;
  }
  if (All && in.dst2 != kNoRef) c.setPredicate(in.dst2, allSame);
}

enum Reduction { kAdd, kMin, kMax, kAnd, kOr, kXor };

template <class T, int Op>
void reduce(Context& c, const Instruction& in) {
  const T* a = c.at<T>(in.a);
  T r = a[lowestLane(c.mask)];
  for (uint32_t m = c.mask & (c.mask - 1); m; m &= m - 1) {
    const T v = a[lowestLane(m)];
    r = Op == kAdd   ? T(uint32_t(r) + uint32_t(v))
        : Op == kMin ? (v < r ? v : r)
        : Op == kMax ? (v > r ? v : r)
        : Op == kAnd ? T(r & v)
        : Op == kOr  ? T(r | v)
                     : T(r ^ v);
  }
  T* d = c.at<T>(in.dst);
  for (uint32_t m = c.mask; m; m &= m - 1) d[lowestLane(m)] = r;
}

void activeMask(Context& c, const Instruction& in) {
  uint32_t* d = c.at<uint32_t>(in.dst);
  for (uint32_t m = c.mask; m; m &= m - 1) d[lowestLane(m)] = c.mask;
}

void elect(Context& c, const Instruction& in) {
  const uint32_t leader = lowestLane(c.mask);
  uint32_t* d = c.at<uint32_t>(in.dst);
  for (uint32_t m = c.mask; m; m &= m - 1) d[lowestLane(m)] = leader;
  c.setPredicate(in.dst2, 1u << leader);
}

/// `d` or `d|p`.
void destinations(Decoder& d, const Operand& o, Instruction& in) {
  if (o.kind == Operand::Kind::Pair) {
    in.dst = d.destination(o.elements[0], 4);
    if (o.elements[1].kind != Operand::Kind::Sink) in.dst2 = d.predicateDestination(o.elements[1]);
  } else {
    in.dst = d.destination(o, 4);
  }
}

bool decodeShuffle(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool sync = m.take("sync");
  in.run = m.take("up")     ? together<shuffle<kUp>>
           : m.take("down") ? together<shuffle<kDown>>
           : m.take("bfly") ? together<shuffle<kButterfly>>
           : m.take("idx")  ? together<shuffle<kIndex>>
                            : nullptr;
  if (!in.run || m.type() != Type::B32) throw Unsupported{"variant"};
  m.done();
  destinations(d, s.operands.at(0), in);
  in.a = d.source(s.operands.at(1), 4);
  in.b = d.source(s.operands.at(2), 4);
  in.c = d.source(s.operands.at(3), 4);
  in.imm = sync ? d.source(s.operands.at(4), 4) : kNoRef;
  return true;
}

bool decodeVote(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool sync = m.take("sync"), ballot = m.take("ballot");
  in.run = ballot          ? together<vote<kBallot>>
           : m.take("all") ? together<vote<kAll>>
           : m.take("any") ? together<vote<kAny>>
           : m.take("uni") ? together<vote<kUniform>>
                           : nullptr;
  if (!in.run) throw Unsupported{"variant"};
  m.type();
  m.done();
  in.dst = ballot ? d.destination(s.operands.at(0), 4) : d.predicateDestination(s.operands.at(0));
  in.a = d.predicateSource(s.operands.at(1));
  in.imm = sync ? d.source(s.operands.at(2), 4) : kNoRef;
  return true;
}

bool decodeMatch(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool all = m.take("all");
  if (!all && !m.take("any")) throw Unsupported{"variant"};
  m.take("sync");
  const bool wide = ptx::typeBytes(m.type()) == 8;
  m.done();
  destinations(d, s.operands.at(0), in);
  in.a = d.source(s.operands.at(1), wide ? 8 : 4);
  in.imm = d.source(s.operands.at(2), 4);
  in.run = wide ? (all ? together<match<uint64_t, true>> : together<match<uint64_t, false>>)
                : (all ? together<match<uint32_t, true>> : together<match<uint32_t, false>>);
  return true;
}

bool decodeRedux(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  m.take("sync");
  const int op = m.take("add")   ? kAdd
                 : m.take("min") ? kMin
                 : m.take("max") ? kMax
                 : m.take("and") ? kAnd
                 : m.take("or")  ? kOr
                 : m.take("xor") ? kXor
                                 : -1;
  const Type t = m.type();
  m.done();
  if (ptx::isFloat(t) || op < 0) throw Unsupported{"variant"};
  in.dst = d.destination(s.operands.at(0), 4);
  in.a = d.source(s.operands.at(1), 4);
  in.imm = d.source(s.operands.at(2), 4);
  if (ptx::isSigned(t))
    in.run = op == kAdd   ? together<reduce<int32_t, kAdd>>
             : op == kMin ? together<reduce<int32_t, kMin>>
                          : together<reduce<int32_t, kMax>>;
  else
    in.run = op == kAdd   ? together<reduce<uint32_t, kAdd>>
             : op == kMin ? together<reduce<uint32_t, kMin>>
             : op == kMax ? together<reduce<uint32_t, kMax>>
             : op == kAnd ? together<reduce<uint32_t, kAnd>>
             : op == kOr  ? together<reduce<uint32_t, kOr>>
                          : together<reduce<uint32_t, kXor>>;
  return true;
}

}  // namespace

bool decodeWarp(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  in.kind = InstructionClass::WarpSync;
  if (op == "shfl") return decodeShuffle(d, s, in);
  if (op == "vote") return decodeVote(d, s, in);
  if (op == "match") return decodeMatch(d, s, in);
  if (op == "redux") return decodeRedux(d, s, in);
  if (op == "activemask") {
    in.dst = d.destination(s.operands.at(0), 4);
    in.run = activeMask;
    return true;
  }
  if (op == "elect") {
    destinations(d, s.operands.at(0), in);
    if (in.dst2 == kNoRef) throw Unsupported{"variant"};
    in.imm = d.source(s.operands.at(1), 4);
    in.run = together<elect>;
    return true;
  }
  return false;
}

}  // namespace gpusim
