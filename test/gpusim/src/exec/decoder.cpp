// SPDX-License-Identifier: Apache-2.0
#include "exec/decoder.h"

#include <bit>
#include <cstring>
#include <unordered_map>

#include "exec/context.h"
#include "exec/special_registers.h"

namespace gpusim {

using ptx::Operand;
using ptx::Type;

Modifiers::Modifiers(const ptx::Statement& s) : s_(s), taken_(s.op.size()) { taken_[0] = true; }

bool Modifiers::take(const char* word) {
  for (size_t i = 1; i < taken_.size(); ++i) {
    if (!taken_[i] && s_.op[i] == word) {
      taken_[i] = true;
      return true;
    }
  }
  return false;
}

bool Modifiers::hasType() const {
  for (size_t i = 1; i < taken_.size(); ++i)
    if (!taken_[i] && ptx::parseType(s_.op[i]) != Type::None) return true;
  return false;
}

Type Modifiers::type() {
  for (size_t i = 1; i < taken_.size(); ++i) {
    const Type t = taken_[i] ? Type::None : ptx::parseType(s_.op[i]);
    if (t == Type::None) continue;
    taken_[i] = true;
    return t;
  }
  throw Unsupported{"missing type"};
}

std::string Modifiers::next() {
  for (size_t i = 1; i < taken_.size(); ++i) {
    if (taken_[i]) continue;
    taken_[i] = true;
    return s_.op[i];
  }
  return "";
}

void Modifiers::done() const {
  for (size_t i = 1; i < taken_.size(); ++i)
    if (!taken_[i]) throw Unsupported{"modifier '." + s_.op[i] + "' is not implemented here"};
}

namespace {

void localAddress(Context& c, const Instruction& in) {
  const uint64_t value = c.frame->localBase + in.imm;
  uint64_t* d = c.at<uint64_t>(in.dst);
  for (int i = 0; i < kLanes; ++i) d[i] = value;
}

void localAddress32(Context& c, const Instruction& in) {
  uint32_t* d = c.at<uint32_t>(in.dst);
  for (int i = 0; i < kLanes; ++i) d[i] = uint32_t(c.frame->localBase + in.imm);
}

void negatePredicate(Context& c, const Instruction& in) { c.predicate(in.dst) = ~c.predicate(in.a); }

}  // namespace

Decoder::Decoder(Linker& l, ModuleCode& m, const ptx::FunctionAst& f, FunctionCode& fc,
                 const std::map<std::string, Symbol>& locals, const ptx::RegisterLayout& layout)
    : linker(l), module(m), function(f), code(fc), locals_(locals), layout_(layout) {}

unsigned Decoder::bytesOf(const Operand& o) const {
  return o.kind == Operand::Kind::Register ? ptx::registerBytes(function.registers[size_t(o.reg)].type) : 0;
}

bool Decoder::isPredicate(const Operand& o) const {
  return o.kind == Operand::Kind::Register && function.registers[size_t(o.reg)].type == Type::Pred;
}

Ref Decoder::constant(unsigned bytes, uint64_t bits) {
  if (bytes < 8) bits &= (1ull << (8 * bytes)) - 1;
  auto [it, fresh] = constants_.try_emplace({bytes, bits}, 0);
  if (fresh) {
    const size_t at = code.constants.size();
    code.constants.resize(at + size_t(bytes) * kLanes);
    const size_t moved = std::min(bytes, 8u);
    for (int i = 0; i < kLanes; ++i) std::memcpy(&code.constants[at + size_t(i) * bytes], &bits, moved);
    it->second = makeRef(kConstantBase, uint32_t(at));
  }
  return it->second;
}

Ref Decoder::predicateConstant(bool value) { return constant(4, value ? kAllLanes : 0); }

Ref Decoder::temporary(unsigned bytes) {
  const uint32_t at = (code.frameBytes + 63) / 64 * 64;
  code.frameBytes = at + bytes * kLanes;
  return makeRef(kFrameBase, at);
}

Ref Decoder::temporaryPredicate() { return temporary(2); }

Instruction Decoder::helper(Handler run) const {
  Instruction in;
  in.run = run;
  in.origin = origin;
  in.counted = false;
  return in;
}

const Symbol* Decoder::symbol(const std::string& name) const {
  auto it = locals_.find(name);
  return it != locals_.end() ? &it->second : linker.find(name);
}

Ref Decoder::symbolValue(const Operand& o, unsigned bytes) {
  const Symbol* s = symbol(o.name);
  if (!s) throw Unsupported{"symbol '" + o.name + "' is not defined"};
  if (bytes != 4 && bytes != 8) throw Unsupported{"address in a register that is too small"};
  const uint64_t value = s->address + uint64_t(o.offset);
  if (s->space != ptx::Space::Local) return constant(bytes, value);
  Instruction in = helper(bytes == 8 ? localAddress : localAddress32);
  in.dst = temporary(bytes);
  in.imm = value;
  emit(in);
  return in.dst;
}

Ref Decoder::source(const Operand& o, unsigned bytes) {
  switch (o.kind) {
    case Operand::Kind::Register:
      if (o.negated || !o.name.empty()) throw Unsupported{"negation or selection of an operand"};
      if (bytesOf(o) != bytes)
        throw Unsupported{"register '" + function.registers[size_t(o.reg)].name + "' has the wrong size"};
      return reg(o.reg);
    case Operand::Kind::Integer:
    case Operand::Kind::Float32:
    case Operand::Kind::Float64:
      return constant(bytes, o.value);
    case Operand::Kind::Special: {
      const Ref r = specialRegister(o.name);
      if (r == kNoRef) {
        Instruction in = helper(dynamicRegister(o.name, bytes));
        if (!in.run) throw Unsupported{"special register '" + o.name + "' cannot be read here"};
        in.dst = temporary(bytes);
        emit(in);
        return in.dst;
      }
      if (bytes != 4) throw Unsupported{"special register '" + o.name + "' cannot be read here"};
      return r;
    }
    case Operand::Kind::Symbol:
      return symbolValue(o, bytes);
    default:
      throw Unsupported{"unexpected kind of operand"};
  }
}

Ref Decoder::source(const Operand& o, Type type) {
  const unsigned bytes = std::max(2u, ptx::typeBytes(type));
  if (o.kind == Operand::Kind::Float64 && type == Type::F32)
    return constant(4, std::bit_cast<uint32_t>(float(std::bit_cast<double>(o.value))));
  if (o.kind == Operand::Kind::Float32 && type == Type::F64)
    return constant(8, std::bit_cast<uint64_t>(double(std::bit_cast<float>(uint32_t(o.value)))));
  if (o.kind == Operand::Kind::Float64 && bytes == 2) throw Unsupported{"floating-point constant for a 16-bit operand"};
  return source(o, bytes);
}

Ref Decoder::destination(const Operand& o, unsigned bytes) {
  if (o.kind == Operand::Kind::Sink) {
    auto [it, fresh] = sink_.try_emplace(bytes, 0);
    if (fresh) it->second = temporary(bytes);
    return it->second;
  }
  if (o.kind != Operand::Kind::Register) throw Unsupported{"destination is not a register"};
  if (!o.name.empty()) throw Unsupported{"selection of an operand"};
  if (bytesOf(o) != bytes)
    throw Unsupported{"register '" + function.registers[size_t(o.reg)].name + "' has the wrong size"};
  return reg(o.reg);
}

Ref Decoder::predicateSource(const Operand& o) {
  if (o.kind == Operand::Kind::Integer) return predicateConstant((o.value != 0) != o.negated);
  if (!isPredicate(o)) throw Unsupported{"operand is not a predicate"};
  if (!o.negated) return reg(o.reg);
  Instruction in = helper(negatePredicate);
  in.a = reg(o.reg);
  in.dst = temporaryPredicate();
  emit(in);
  return in.dst;
}

Ref Decoder::predicateDestination(const Operand& o) {
  if (o.kind == Operand::Kind::Sink) return destination(o, 2);
  if (!isPredicate(o)) throw Unsupported{"destination is not a predicate"};
  return reg(o.reg);
}

Ref Decoder::address(const Operand& o, unsigned& baseBytes, int64_t& offset, const Symbol** sym) {
  if (o.kind != Operand::Kind::Address) throw Unsupported{"operand is not an address"};
  if (o.elements.size() > 1) throw Unsupported{"address with coordinates"};
  const Operand& base = o.elements[0];
  offset = o.offset;
  *sym = nullptr;
  if (base.kind == Operand::Kind::Symbol) {
    *sym = symbol(base.name);
    baseBytes = 8;
    return symbolValue(base, 8);
  }
  if (base.kind == Operand::Kind::Integer) {
    baseBytes = 8;
    return constant(8, base.value);
  }
  baseBytes = bytesOf(base);
  if (baseBytes != 4 && baseBytes != 8) throw Unsupported{"address register is neither 32 nor 64 bits wide"};
  return source(base, baseBytes);
}

Ref specialRegister(const std::string& name) {
  static const std::unordered_map<std::string, Ref> kNames = [] {
    std::unordered_map<std::string, Ref> m;
    auto warp = [&](const char* n, uint32_t i) { m[n] = makeRef(kWarpBase, i * kLanes * 4); };
    auto block = [&](const char* n, uint32_t i) { m[n] = makeRef(kBlockBase, i * kLanes * 4); };
    warp("%tid.x", kTidX), warp("%tid.y", kTidY), warp("%tid.z", kTidZ), warp("%laneid", kLaneId),
        warp("%warpid", kWarpId);
    warp("%lanemask_eq", kLaneEq), warp("%lanemask_lt", kLaneLt), warp("%lanemask_le", kLaneLe);
    warp("%lanemask_ge", kLaneGe), warp("%lanemask_gt", kLaneGt), warp("%tid", kTidX);
    block("%ntid.x", kNtidX), block("%ntid.y", kNtidY), block("%ntid.z", kNtidZ), block("%ntid", kNtidX);
    block("%ctaid.x", kCtaidX), block("%ctaid.y", kCtaidY), block("%ctaid.z", kCtaidZ), block("%ctaid", kCtaidX);
    block("%nctaid.x", kNctaidX), block("%nctaid.y", kNctaidY), block("%nctaid.z", kNctaidZ),
        block("%nctaid", kNctaidX);
    block("%nwarpid", kNwarpid), block("%smid", kSmid), block("%nsmid", kNsmid), block("%gridid", kGrididLow);
    block("%envreg1", kEnvreg1), block("%envreg2", kEnvreg2);
    block("%dynamic_smem_size", kDynamicShared), block("%total_smem_size", kTotalShared);
    block("%aggr_smem_size", kMaxShared);
    for (const char* n : {"%ntid.w", "%nctaid.w"}) block(n, kOne);
    for (const char* n :
         {"%tid.w", "%ctaid.w", "%cluster_ctarank", "%cluster_ctaid.x", "%cluster_ctaid.y", "%cluster_ctaid.z",
          "%reserved_smem_offset_begin", "%reserved_smem_offset_end", "%reserved_smem_offset_cap"})
      block(n, kZero);
    for (const char* n : {"%cluster_nctarank", "%cluster_nctaid.x", "%cluster_nctaid.y", "%cluster_nctaid.z"})
      block(n, kOne);
    block("%clusterid.x", kCtaidX), block("%clusterid.y", kCtaidY), block("%clusterid.z", kCtaidZ);
    block("%nclusterid.x", kNctaidX), block("%nclusterid.y", kNctaidY), block("%nclusterid.z", kNctaidZ);
    return m;
  }();
  auto it = kNames.find(name);
  return it == kNames.end() ? kNoRef : it->second;
}

}  // namespace gpusim
