// SPDX-License-Identifier: Apache-2.0
// Address conversion, special registers that change while running, cache policies, alloca.
#include <chrono>

#include "exec/access.h"
#include "exec/decoder.h"
#include "exec/special_registers.h"

namespace gpusim {

using ptx::Operand;
using ptx::Space;
using ptx::Statement;
using ptx::Type;

namespace {

uint64_t windowBase(Space s) {
  switch (s) {
    case Space::Shared:
      return kSharedWindow;
    case Space::Local:
      return kLocalWindow;
    case Space::Param:
      return kParamWindow;
    default:
      return 0;
  }
}

Space takeSpace(Modifiers& m) {
  if (m.take("global")) return Space::Global;
  if (m.take("shared") || m.take("shared::cta") || m.take("shared::cluster")) return Space::Shared;
  if (m.take("local")) return Space::Local;
  if (m.take("const")) return Space::Const;
  if (m.take("param") || m.take("param::entry")) return Space::Param;
  throw Unsupported{"state space"};
}

/// in.imm is added to (cvta) or, with in.aux, taken from (cvta.to) the address.
template <class From, class To>
void convertAddress(Context& c, const Instruction& in) {
  const From* a = c.at<From>(in.a);
  To* d = c.at<To>(in.dst);
  for (int i = 0; i < kLanes; ++i)
    if (c.mask >> i & 1) d[i] = To(in.aux ? uint64_t(a[i]) - in.imm : uint64_t(a[i]) + in.imm);
}

bool decodeCvta(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  in.aux = m.take("to");
  in.imm = windowBase(takeSpace(m));
  const unsigned bytes = ptx::typeBytes(m.type());
  m.done();
  if (bytes != 8) throw Unsupported{"32-bit generic address"};
  const unsigned from = s.operands.at(1).kind == Operand::Kind::Register ? d.bytesOf(s.operands[1]) : 8,
                 to = d.bytesOf(s.operands.at(0));
  in.a = d.source(s.operands[1], from);
  in.dst = d.destination(s.operands[0], to);
  in.run = from == 8 ? (to == 8 ? convertAddress<uint64_t, uint64_t> : convertAddress<uint64_t, uint32_t>)
                     : (to == 8 ? convertAddress<uint32_t, uint64_t> : convertAddress<uint32_t, uint32_t>);
  in.kind = InstructionClass::Integer;
  return true;
}

void isSpace(Context& c, const Instruction& in) {
  const uint64_t* a = c.at<uint64_t>(in.a);
  const Space wanted = Space(in.aux);
  uint32_t yes = 0;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const bool shared = isShared(a[lane]), local = isLocal(a[lane]), param = a[lane] - kParamWindow < kWindowBytes;
    bool is = wanted == Space::Shared  ? shared
              : wanted == Space::Local ? local
              : wanted == Space::Param ? param
                                       : !shared && !local && !param;
    if (is && (wanted == Space::Global || wanted == Space::Const)) {
      Allocation found;
      const bool constant = c.launch->device->memory.find(a[lane], found) && found.kind == MemoryKind::ModuleConstant;
      is = constant == (wanted == Space::Const);
    }
    if (is) yes |= 1u << lane;
  }
  c.setPredicate(in.dst, yes);
}

bool decodeIsSpace(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  in.aux = uint32_t(takeSpace(m));
  m.done();
  in.a = d.source(s.operands.at(1), 8);
  in.dst = d.predicateDestination(s.operands.at(0));
  in.run = isSpace;
  in.kind = InstructionClass::Predicate;
  return true;
}

uint64_t nanoseconds() {
  return uint64_t(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

enum Dynamic { kClock, kClockHigh, kTimer, kTimerHigh, kGridId64, kZero64 };

/// Clocks count the host's nanoseconds: a value that grows, and no measure of anything.
template <class T, int What>
void readDynamic(Context& c, const Instruction& in) {
  T* d = c.at<T>(in.dst);
  const uint64_t now = nanoseconds();
  const uint64_t v = What == kClock || What == kTimer           ? now
                     : What == kClockHigh || What == kTimerHigh ? now >> 32
                     : What == kGridId64                        ? c.launch->serial
                                                                : 0;
  for (uint32_t m = c.mask; m; m &= m - 1) d[lowestLane(m)] = T(v);
  c.polls += 1;  // loops that wait for time to pass should not burn whole slices
  if (c.polls >= 64 && c.event == Event::None) c.event = Event::Yield;
}

bool decodeDynamicRegister(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const unsigned bytes = ptx::typeBytes(m.type());
  m.done();
  const std::string& name = s.operands.at(1).name;
  if (s.operands[1].kind != Operand::Kind::Special) return false;
  in.run = dynamicRegister(name, bytes);
  if (!in.run) throw Unsupported{"special register '" + name + "'"};
  in.dst = d.destination(s.operands[0], bytes);
  in.kind = InstructionClass::Move;
  return true;
}

void policy(Context& c, const Instruction& in) {
  uint64_t* d = c.at<uint64_t>(in.dst);
  for (uint32_t m = c.mask; m; m &= m - 1) d[lowestLane(m)] = 0;
}

/// All lanes move their stack by the largest size asked for.
void allocateLocal(Context& c, const Instruction& in) {
  uint64_t most = 0;
  auto size = [&](uint32_t lane) { return in.aux & 1 ? c.at<uint64_t>(in.a)[lane] : c.at<uint32_t>(in.a)[lane]; };
  for (uint32_t m = c.mask; m; m &= m - 1) most = std::max<uint64_t>(most, size(lowestLane(m)));
  const uint64_t unit = std::max<uint64_t>(16, in.imm), at = (c.frame->localTop + unit - 1) / unit * unit;
  if (at + most > c.launch->stackBytes) {
    raise(c, in, ReportKind::StackOverflow, lowestLane(c.mask),
          "alloca of " + std::to_string(most) + " bytes exceeds the local stack");
    return;
  }
  c.frame->localTop = uint32_t(at + most);
  for (uint32_t m = c.mask; m; m &= m - 1) {
    if (in.aux & 2)
      c.at<uint64_t>(in.dst)[lowestLane(m)] = at;
    else
      c.at<uint32_t>(in.dst)[lowestLane(m)] = uint32_t(at);
  }
}

template <bool Save>
void stackPointer(Context& c, const Instruction& in) {
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    if (Save) {
      if (in.aux & 2)
        c.at<uint64_t>(in.dst)[lane] = c.frame->localTop;
      else
        c.at<uint32_t>(in.dst)[lane] = c.frame->localTop;
    } else {
      c.frame->localTop = uint32_t(in.aux & 1 ? c.at<uint64_t>(in.a)[lane] : c.at<uint32_t>(in.a)[lane]);
    }
  }
}

bool decodeStack(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  Modifiers m(s);
  m.type();
  m.done();
  const Operand& first = s.operands.at(0);
  const bool wide = d.bytesOf(first) == 8;
  if (op == "stackrestore") {
    in.a = d.source(first, d.bytesOf(first));
    in.aux = wide;
    in.run = stackPointer<false>;
    return true;
  }
  in.dst = d.destination(first, d.bytesOf(first));
  in.aux = wide ? 2 : 0;
  if (op == "stacksave") {
    in.run = stackPointer<true>;
    return true;
  }
  const Operand& size = s.operands.at(1);
  const unsigned bytes = d.bytesOf(size) ? d.bytesOf(size) : 8;
  in.a = d.source(size, bytes);
  in.aux |= bytes == 8;
  in.imm = s.operands.size() > 2 ? s.operands[2].value : 8;
  in.run = allocateLocal;
  return true;
}

}  // namespace

Handler dynamicRegister(const std::string& name, unsigned bytes) {
  const bool wide = bytes == 8;
  if (!wide && bytes != 4) return nullptr;
  if (name == "%clock" || name == "%clock64")
    return wide ? readDynamic<uint64_t, kClock> : readDynamic<uint32_t, kClock>;
  if (name == "%clock_hi") return wide ? nullptr : readDynamic<uint32_t, kClockHigh>;
  if (name == "%globaltimer" || name == "%globaltimer_lo")
    return wide ? readDynamic<uint64_t, kTimer> : readDynamic<uint32_t, kTimer>;
  if (name == "%globaltimer_hi") return wide ? nullptr : readDynamic<uint32_t, kTimerHigh>;
  // performance counters, registers that the driver fills for tools, and the graph that started the kernel: all zero
  for (const char* zero : {"%envreg", "%pm", "%reserved_smem_offset_", "%current_graph_exec"})
    if (name.rfind(zero, 0) == 0) return wide ? readDynamic<uint64_t, kZero64> : readDynamic<uint32_t, kZero64>;
  return nullptr;
}

bool decodeMisc(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  if (op == "cvta") return decodeCvta(d, s, in);
  if (op == "isspacep") return decodeIsSpace(d, s, in);
  if (op == "mov") return decodeDynamicRegister(d, s, in);
  if (op == "alloca" || op == "stacksave" || op == "stackrestore") return decodeStack(d, s, in);
  if (op == "createpolicy") {
    in.dst = d.destination(s.operands.at(0), 8);
    in.run = policy;
    in.kind = InstructionClass::Move;
    return true;
  }
  return false;
}

}  // namespace gpusim
