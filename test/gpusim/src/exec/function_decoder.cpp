// SPDX-License-Identifier: Apache-2.0
// The part of ModuleBuilder that turns one function's statements into instructions.
#include <algorithm>

#include "exec/builder.h"
#include "exec/control.h"

namespace gpusim {

using ptx::FunctionAst;
using ptx::Operand;
using ptx::Space;
using ptx::Statement;
using ptx::Variable;

namespace {

/// Of one thread, on every device.
constexpr uint32_t kMostLocalBytes = 512 << 10;

uint32_t alignUp(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

/// Parameters that are registers travel through the parameter area like the others: a function takes them from there
/// when it is entered and puts its results there before it returns.
void moveRegisterParameters(Decoder& d, const Instruction& guarded, const std::vector<Variable>& list,
                            const std::vector<FunctionCode::Slot>& slots, bool store) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].space != Space::Reg) continue;
    const auto& registers = d.function.registers;
    const auto found =
        std::find_if(registers.begin(), registers.end(), [&](auto& r) { return r.name == list[i].name; });
    Operand o{};
    o.kind = Operand::Kind::Register;
    o.reg = int(found - registers.begin());
    if (d.isPredicate(o)) throw ptx::ParseError{d.function.line, "a predicate as a parameter is not implemented"};
    moveParameter(d, guarded, o, slots[i].offset, d.bytesOf(o), store);
  }
}

}  // namespace

// Formal parameters of a function lie in its frame's parameter area, those of an entry in the launch's buffer; the
// parameters of its own call sites follow in the frame.
void ModuleBuilder::layoutParameters(const FunctionAst& f, FunctionCode& code, std::map<std::string, Symbol>& locals) {
  uint32_t bufferAt = 0;
  auto place = [&](const Variable& v, uint32_t& at, bool kernel) {
    at = alignUp(at, std::max(1u, v.align));
    Symbol s;
    s.space = Space::Param;
    s.address = at;
    s.bytes = v.bytes;
    s.kernelParameter = kernel;
    locals[v.name] = s;
    at += uint32_t(v.bytes);
    return FunctionCode::Slot{uint32_t(s.address), uint32_t(v.bytes)};
  };
  for (auto& v : f.returns) code.returns.push_back(place(v, code.paramBytes, false));
  for (auto& v : f.parameters) {
    const auto slot = place(v, f.entry ? bufferAt : code.paramBytes, f.entry);
    if (!f.entry) code.formals.push_back(slot);
  }
  for (auto& v : f.locals)
    if (v.space == Space::Param) place(v, code.paramBytes, false);
  code.paramBytes = alignUp(code.paramBytes, 16);
}

void ModuleBuilder::decodeFunction(ModuleCode& module, int function, FunctionCode& code) {
  const FunctionAst& f = ast_.functions[size_t(function)];
  const Analysis& an = analysis(function);
  code.name = f.name;
  code.entry = f.entry;
  code.frameBytes = an.layout.bytes;
  code.pc = uint32_t(module.code.size());
  locals_.clear();
  layoutParameters(f, code, locals_);
  for (auto& v : f.locals) {
    if (v.space == Space::Local) {
      Symbol s;
      s.space = Space::Local;
      s.address = code.localBytes = alignUp(code.localBytes, std::max(1u, v.align));
      s.bytes = v.bytes;
      locals_[v.name] = s;
      code.localBytes += uint32_t(v.bytes);
      if (code.localBytes > kMostLocalBytes) throw ptx::ParseError{v.line, "too much local memory"};
    } else if (const Symbol* s = find(f.name + "!" + v.name)) {
      locals_[v.name] = *s;
    }
  }
  Decoder d(*this, module, f, code, locals_, an.layout);
  moveRegisterParameters(d, {}, f.parameters, code.formals, false);
  std::vector<uint32_t> pcOf(f.statements.size() + 1);
  std::vector<size_t> fixups;
  for (uint32_t i = 0; i <= f.statements.size(); ++i) {
    pcOf[i] = uint32_t(module.code.size());
    const bool leader = i == f.statements.size() || an.cfg.blocks[an.cfg.blockOf[i]].first == i;
    d.origin = uint32_t(module.origins.size());
    if (i < f.statements.size()) {
      const Statement& s = f.statements[i];
      module.origins.push_back({s.line, s.file, s.sourceLine, s.text, s.inlinedAt});
    } else {
      module.origins.push_back({f.line, 0, 0, "end of " + f.name, {}});
    }
    if (leader && an.cfg.blocks[an.cfg.blockOf[i]].joins) d.emit(d.helper(joinPoint));
    if (i < f.statements.size()) decodeStatement(d, f.statements[i], fixups);
  }
  if (!f.entry) moveRegisterParameters(d, {}, f.returns, code.returns, true);
  d.emit(d.helper(returnFromFunction));
  code.endPc = uint32_t(module.code.size());
  code.frameBytes = alignUp(code.frameBytes, 64);

  auto joinOf = [&](uint32_t statement) {
    const int join = an.cfg.blocks[an.cfg.blockOf[statement]].immediatePostDominator;
    return join < 0 ? kNoPc : pcOf[an.cfg.blocks[size_t(join)].first];
  };
  for (size_t at : fixups) {
    Instruction& in = module.code[at];
    in.aux = joinOf(uint32_t(in.imm >> 32));
    if (in.run == branch) {
      in.imm = pcOf[uint32_t(in.imm)];
    } else {
      auto* table = const_cast<BranchTable*>(static_cast<const BranchTable*>(in.payload));
      for (uint32_t& t : table->targets) t = pcOf[t];
    }
  }
}

void ModuleBuilder::decodeCall(Decoder& d, const Statement& s, Instruction& in) {
  d.module.callSites.emplace_back();
  CallSite& site = d.module.callSites.back();
  const Operand& target = s.operands[0];
  const int f = target.kind == Operand::Kind::Symbol ? functionIndex(target.name) : -1;
  // arguments and results that are registers or constants get a place of their own in the parameter area
  auto slots = [&](const std::vector<Operand>& list, std::vector<FunctionCode::Slot>& out, bool results) {
    for (size_t i = 0; i < list.size(); ++i) {
      const Operand& o = list[i];
      const Symbol* sym = o.kind == Operand::Kind::Symbol ? d.symbol(o.name) : nullptr;
      if (sym && sym->space == Space::Param) {
        out.push_back({uint32_t(sym->address), uint32_t(sym->bytes)});
        continue;
      }
      const auto* formals = f < 0     ? nullptr
                            : results ? &ast_.functions[size_t(f)].returns
                                      : &ast_.functions[size_t(f)].parameters;
      const unsigned bytes = d.bytesOf(o)                     ? d.bytesOf(o)
                             : formals && i < formals->size() ? unsigned((*formals)[i].bytes)
                                                              : 0;
      if (!bytes || sym) throw Unsupported{"call with an argument that is no .param variable, register or constant"};
      const uint32_t at = alignUp(d.code.paramBytes, bytes);
      d.code.paramBytes = alignUp(at + bytes, 16);
      out.push_back({at, bytes});
      if (!results) moveParameter(d, in, o, at, bytes, true);
    }
  };
  slots(s.callArguments, site.arguments, false);
  slots(s.callReturns, site.returns, true);
  if (target.kind == Operand::Kind::Symbol) {
    if (f >= 0) {
      site.function = codeIndex_.at(f);
    } else {
      site.builtin = builtinIndex(target.name);
      if (site.builtin < 0) throw Unsupported{"function '" + target.name + "' is not defined"};
    }
  } else {
    site.indirect = true;
    in.a = d.source(target, 8);
  }
  in.payload = &site;
  in.run = callFunction;
}

bool ModuleBuilder::decodeControl(Decoder& d, const Statement& s, Instruction& in, std::vector<size_t>& fixups) {
  const std::string& op = s.op[0];
  in.kind = InstructionClass::Control;
  const uint64_t index = uint64_t(&s - d.function.statements.data()) << 32;
  if (op == "bra") {
    in.run = branch;
    in.imm = index | ptx::branchTargets(d.function, s)[0];
    fixups.push_back(d.module.code.size());
  } else if (op == "brx") {
    d.module.branchTables.push_back({ptx::branchTargets(d.function, s)});
    in.run = branchIndexed;
    in.payload = &d.module.branchTables.back();
    in.a = d.source(s.operands.at(0), 4);
    in.imm = index;
    fixups.push_back(d.module.code.size());
  } else if (op == "call") {
    decodeCall(d, s, in);
  } else if (op == "ret") {
    if (!d.function.entry) moveRegisterParameters(d, in, d.function.returns, d.code.returns, true);
    in.run = returnFromFunction;
  } else if (op == "exit") {
    in.run = exitThread;
  } else if (op == "trap") {
    in.run = trapThread;
  } else if (op == "brkpt") {
    in.run = breakpoint;
  } else {
    return false;
  }
  return true;
}

void ModuleBuilder::decodeStatement(Decoder& d, const Statement& s, std::vector<size_t>& fixups) {
  Instruction in;
  in.origin = d.origin;
  const size_t begin = d.module.code.size();
  try {
    if (s.guard >= 0) {
      Operand guard{};
      guard.kind = Operand::Kind::Register;
      guard.reg = s.guard;
      in.guard = d.predicateSource(guard);
      in.guardFlip = s.guardNegated ? kAllLanes : 0;
    }
    const bool known = decodeControl(d, s, in, fixups) || [&] {
      in.kind = InstructionClass::Integer;
      return arithmeticDecoder()(d, s, in) || decodeMemory(d, s, in) || decodeAtomic(d, s, in) ||
             decodeSynchronisation(d, s, in) || decodeWarp(d, s, in) || decodeMbarrier(d, s, in) ||
             decodeAsyncCopy(d, s, in) || decodeMatrix(d, s, in) || decodeMisc(d, s, in);
    }();
    if (!known) throw Unsupported{"unknown instruction"};
  } catch (const Unsupported& e) {
    d.module.code.resize(begin);
    while (!fixups.empty() && fixups.back() >= begin) fixups.pop_back();
    Instruction stop = d.helper(unsupportedInstruction);
    stop.guard = in.guard;
    stop.guardFlip = in.guardFlip;
    auto* why = d.payload<std::string>();
    *why = s.text + ": " + e.message;
    stop.payload = why;
    unsupported_.try_emplace(s.text + ": " + e.message, "PTX line " + std::to_string(s.line));
    d.emit(stop);
    return;
  } catch (const std::out_of_range&) {
    throw ptx::ParseError{s.line, "too few operands: " + s.text};
  }
  d.emit(in);
  if (s.op[0] != "call") return;
  d.emit(d.helper(joinPoint));
  const auto& results = static_cast<const CallSite*>(in.payload)->returns;
  for (size_t i = 0; i < results.size(); ++i)
    if (d.bytesOf(s.callReturns[i])) moveParameter(d, in, s.callReturns[i], results[i].offset, results[i].bytes, false);
}

}  // namespace gpusim
