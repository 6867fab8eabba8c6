// SPDX-License-Identifier: Apache-2.0
#include "exec/control.h"

#include <cstring>

#include "check/reporter.h"
#include "exec/fragments.h"
#include "exec/interpreter.h"

namespace gpusim {
namespace {

/// Activates a function for some lanes; the frame is poisoned local memory and copied arguments.
Frame* enterFunction(Context& c, const Instruction& in, const CallSite& site, const FunctionCode& f, uint32_t lanes) {
  Warp& w = *c.warp;
  const uint32_t base = (c.frame->localTop + 15) / 16 * 16, size = c.launch->stackBytes;
  if (base + f.localBytes > size || w.frames.size() > 4096) {
    raise(c, in, ReportKind::StackOverflow, lowestLane(lanes),
          "the call needs more than the " + std::to_string(size) + " bytes of local stack");
    return nullptr;
  }
  Frame* frame = newFrame(w, f);
  frame->parent = c.frame;
  frame->returnPc = c.pc;
  frame->site = &site;
  frame->lanes = lanes;
  frame->localBase = base;
  frame->localTop = base + f.localBytes;
  const uint32_t callerBytes = c.frame->function->paramBytes;
  for (uint32_t m = lanes; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const size_t at = size_t(lane) * size + base;
    fillPattern(w.localMemory.data() + at, f.localBytes, GlobalMemory::kPoison);
    setBits(w.localInit.data(), at, f.localBytes, false);
    for (size_t k = 0; k < site.arguments.size() && k < f.formals.size(); ++k)
      std::memcpy(frame->params.data() + size_t(lane) * f.paramBytes + f.formals[k].offset,
                  c.frame->params.data() + size_t(lane) * callerBytes + site.arguments[k].offset,
                  std::min(site.arguments[k].bytes, f.formals[k].bytes));
  }
  return frame;
}

/// Sends `lanes` of the active ones into a function; when others remain, as a fragment of their own.
void callWith(Context& c, const Instruction& in, const CallSite& site, const FunctionCode& f, uint32_t lanes) {
  Frame* frame = enterFunction(c, in, site, f, lanes);
  if (!frame) return;
  if (lanes != c.active) {
    Fragment& other = splitLanes(c, lanes);
    other.frame = frame;
    other.pc = f.pc;
    return;
  }
  c.frame = frame;
  c.pc = f.pc;
  leaveFragment(c);
  enterFragment(c, c.warp->current);
}

void callIndirect(Context& c, const Instruction& in, const CallSite& site) {
  const uint64_t* target = c.at<uint64_t>(in.a);
  alignas(64) uint64_t targets[kLanes];
  std::memcpy(targets, target, sizeof targets);
  for (uint32_t rest = c.mask; rest;) {
    const uint32_t lane = lowestLane(rest);
    uint32_t same = 0;
    for (uint32_t m = rest; m; m &= m - 1)
      if (targets[lowestLane(m)] == targets[lane]) same |= 1u << lowestLane(m);
    rest &= ~same;
    const uint64_t index = (targets[lane] - kFunctionWindow) / 16;
    const FunctionCode* f = nullptr;
    if (targets[lane] >= kFunctionWindow && targets[lane] % 16 == 0)
      for (auto& g : c.launch->module->functions)
        if (g.tableIndex == int(index)) f = &g;
    if (!f) {
      raise(c, in, ReportKind::IllegalInstruction, lane, "indirect call to an address that is no function",
            targets[lane]);
      return;
    }
    callWith(c, in, site, *f, same);
    if (c.event == Event::Stop) return;
  }
}

}  // namespace

void branch(Context& c, const Instruction& in) {
  ++c.worker->branches;
  if (c.mask == c.active) {
    c.pc = uint32_t(in.imm);
    return;
  }
  diverge(c, c.mask, uint32_t(in.imm), in.aux);
}

void branchIndexed(Context& c, const Instruction& in) {
  ++c.worker->branches;
  const auto& table = *static_cast<const BranchTable*>(in.payload);
  alignas(64) uint32_t index[kLanes];
  std::memcpy(index, c.at<uint32_t>(in.a), sizeof index);
  for (uint32_t rest = c.mask; rest;) {
    const uint32_t lane = lowestLane(rest);
    if (index[lane] >= table.targets.size()) {
      raise(c, in, ReportKind::IllegalInstruction, lane,
            "brx.idx with index " + std::to_string(index[lane]) + " of " + std::to_string(table.targets.size()) +
                " targets");
      return;
    }
    uint32_t same = 0;
    for (uint32_t m = rest; m; m &= m - 1)
      if (index[lowestLane(m)] == index[lane]) same |= 1u << lowestLane(m);
    rest &= ~same;
    if (same == c.active) {
      c.pc = table.targets[index[lane]];
      return;
    }
    if (in.aux != kNoPc) expectAt(c, in.aux);
    ++c.worker->divergentBranches;
    splitLanes(c, same).pc = table.targets[index[lane]];
  }
}

void callFunction(Context& c, const Instruction& in) {
  const auto& site = *static_cast<const CallSite*>(in.payload);
  if (site.builtin >= 0) {
    callBuiltin(c, in, site);
    return;
  }
  expectAt(c, c.pc);  // the instruction after a call is a join
  if (site.indirect) {
    callIndirect(c, in, site);
  } else {
    callWith(c, in, site, c.launch->module->functions[size_t(site.function)], c.mask);
  }
}

void returnFromFunction(Context& c, const Instruction& in) {
  Frame* frame = c.frame;
  if (!frame->parent) {
    exitThread(c, in);
    return;
  }
  const FunctionCode& f = *frame->function;
  const CallSite& site = *frame->site;
  const uint32_t callerBytes = frame->parent->function->paramBytes, lanes = c.mask, returnPc = frame->returnPc;
  for (uint32_t m = lanes; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    for (size_t k = 0; k < site.returns.size() && k < f.returns.size(); ++k)
      std::memcpy(frame->parent->params.data() + size_t(lane) * callerBytes + site.returns[k].offset,
                  frame->params.data() + size_t(lane) * f.paramBytes + f.returns[k].offset,
                  std::min(site.returns[k].bytes, f.returns[k].bytes));
  }
  if (lanes == c.active) {
    c.pc = returnPc;
    leaveFragment(c);
    leaveFrame(*c.warp, c.warp->fragments[c.warp->current], lanes);
    enterFragment(c, c.warp->current);
  } else {
    Fragment& other = splitLanes(c, lanes);
    other.pc = returnPc;
    leaveFrame(*c.warp, other, lanes);
  }
}

void exitThread(Context& c, const Instruction&) {
  exitLanes(c, c.mask);
  barriersAfterExit(*c.block);
}

void trapThread(Context& c, const Instruction& in) {
  raise(c, in, ReportKind::Trap, lowestLane(c.mask), "trap instruction");
}

void breakpoint(Context& c, const Instruction& in) {
  raise(c, in, ReportKind::Trap, lowestLane(c.mask), "breakpoint instruction");
}

void joinPoint(Context& c, const Instruction&) { arriveAtJoin(c); }

void unsupportedInstruction(Context& c, const Instruction& in) {
  raise(c, in, ReportKind::IllegalInstruction, lowestLane(c.mask),
        "the simulator does not implement this instruction: " + *static_cast<const std::string*>(in.payload));
}

}  // namespace gpusim
