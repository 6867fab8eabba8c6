// SPDX-License-Identifier: Apache-2.0
// ld and st in all spaces.
#include <algorithm>
#include <cstring>

#include "exec/access.h"
#include "exec/decoder.h"
#include "exec/memory_modifiers.h"
#include "exec/ordering.h"

namespace gpusim {

using ptx::Operand;
using ptx::Space;
using ptx::Statement;
using ptx::Type;

namespace {

template <class Register, class Element>
void loadElements(uint8_t* value, uint8_t* const* pointer, size_t offset, uint32_t mask) {
  auto* d = reinterpret_cast<Register*>(value);
  for (int i = 0; i < kLanes; ++i) {
    if (!(mask >> i & 1)) continue;
    Element e;
    std::memcpy(&e, pointer[i] + offset, sizeof e);
    d[i] = Register(e);
  }
}

struct Wide {
  uint64_t low, high;
};

/// One vector element of every lane, from memory to its register.
void loadValue(Context& c, const MemoryOp& op, uint32_t k, uint8_t* const* pointer) {
  if (op.value[k] == kNoRef) return;
  uint8_t* d = c.at<uint8_t>(op.value[k]);
  const size_t offset = size_t(k) * op.elementBytes;
  const uint32_t m = c.mask;
  switch (op.valueBytes[k] << 8 | op.elementBytes << 1 | int(op.isSigned)) {
#define GPUSIM_LOAD(R, REGISTER, E, ELEMENT)                             \
  case R << 8 | E << 1:                                                  \
    return loadElements<u##REGISTER, u##ELEMENT>(d, pointer, offset, m); \
  case R << 8 | E << 1 | 1:                                              \
    return loadElements<s##REGISTER, s##ELEMENT>(d, pointer, offset, m);
    using u8 = uint8_t;
    using u16 = uint16_t;
    using u32 = uint32_t;
    using u64 = uint64_t;
    using s8 = int8_t;
    using s16 = int16_t;
    using s32 = int32_t;
    using s64 = int64_t;
    GPUSIM_LOAD(4, 32, 4, 32)
    GPUSIM_LOAD(8, 64, 8, 64)
    GPUSIM_LOAD(2, 16, 2, 16)
    GPUSIM_LOAD(2, 16, 1, 8)
    GPUSIM_LOAD(4, 32, 1, 8)
    GPUSIM_LOAD(4, 32, 2, 16)
    GPUSIM_LOAD(8, 64, 1, 8)
    GPUSIM_LOAD(8, 64, 2, 16)
    GPUSIM_LOAD(8, 64, 4, 32)
#undef GPUSIM_LOAD
    case 16 << 8 | 16 << 1:
      for (int i = 0; i < kLanes; ++i)
        if (m >> i & 1) std::memcpy(reinterpret_cast<Wide*>(d) + i, pointer[i] + offset, sizeof(Wide));
      return;
    default:
      return;  // excluded by the decoder
  }
}

void storeValue(const Context& c, const MemoryOp& op, uint32_t k, uint8_t* const* pointer) {
  const uint8_t* v = c.at<uint8_t>(op.value[k]);
  const size_t registerBytes = op.valueBytes[k], bytes = op.elementBytes, offset = k * bytes;
  if (bytes == 4 && registerBytes == 4) {
    const auto* w = reinterpret_cast<const uint32_t*>(v);
    for (int i = 0; i < kLanes; ++i)
      if (c.mask >> i & 1) std::memcpy(pointer[i] + offset, w + i, 4);
    return;
  }
  for (int i = 0; i < kLanes; ++i)
    if (c.mask >> i & 1) std::memcpy(pointer[i] + offset, v + size_t(i) * registerBytes, bytes);
}

void load(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const MemoryOp*>(in.payload);
  Lanes lanes;
  laneAddresses(c, in.a, in.aux & 1, in.imm, lanes);
  Access a;
  a.space = op.space;
  a.bytes = uint32_t(op.elementBytes) * op.count;
  a.element = op.elementBytes;
  a.synchronises = op.synchronises;
  a.isVolatile = op.isVolatile;
  if (!resolve(c, in, a, lanes)) return;
  for (uint32_t k = 0; k < op.count; ++k) loadValue(c, op, k, lanes.pointer.data());
  if (op.synchronises) {
    synchronise(c, lanes, op.acquire || op.isVolatile, false, false);
    polled(c, in);
  }
}

void store(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const MemoryOp*>(in.payload);
  Lanes lanes;
  laneAddresses(c, in.a, in.aux & 1, in.imm, lanes);
  // gather what will be stored: the race checks compare it with what is there
  alignas(16) uint8_t values[kLanes][64];
  Access a;
  a.space = op.space;
  a.bytes = uint32_t(op.elementBytes) * op.count;
  a.write = true, a.read = false;
  a.synchronises = op.synchronises;
  a.isVolatile = op.isVolatile;
  if (c.launch->checks.race) {
    std::array<uint8_t*, kLanes> staging;
    for (size_t i = 0; i < kLanes; ++i) staging[i] = &values[0][0] + i * a.bytes;
    for (uint32_t k = 0; k < op.count; ++k) storeValue(c, op, k, staging.data());
    a.stored = &values[0][0];
  }
  if (!resolve(c, in, a, lanes)) return;
  if (op.synchronises) synchronise(c, lanes, false, op.release, true);
  for (uint32_t k = 0; k < op.count; ++k) storeValue(c, op, k, lanes.pointer.data());
  if (op.space != Space::Local) progressed(c);
}

/// ld.param of the entry function at a fixed offset: the same value for all lanes.
void loadKernelParameter(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const MemoryOp*>(in.payload);
  const auto& parameters = c.launch->config->parameters;
  if (in.imm + uint64_t(op.elementBytes) * op.count > parameters.size()) {
    raise(c, in, ReportKind::OutOfBounds, lowestLane(c.mask), "read beyond the kernel's parameters");
    return;
  }
  std::array<uint8_t*, kLanes> pointer;
  pointer.fill(const_cast<uint8_t*>(parameters.data()) + in.imm);
  for (uint32_t k = 0; k < op.count; ++k) loadValue(c, op, k, pointer.data());
}

/// Parameters of functions and of call sites, in the frame; in.a is an offset register or absent.
template <bool Store>
void frameParameter(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const MemoryOp*>(in.payload);
  const uint64_t bytes = uint64_t(op.elementBytes) * op.count, size = c.frame->function->paramBytes;
  std::array<uint8_t*, kLanes> pointer;
  for (size_t i = 0; i < kLanes; ++i) {
    uint64_t offset = in.imm;
    if (in.a != kNoRef) offset += (in.aux & 1) ? c.at<uint64_t>(in.a)[i] : c.at<uint32_t>(in.a)[i];
    if (!(c.mask >> i & 1)) offset = 0;
    if (offset > size || size - offset < bytes) {
      raise(c, in, ReportKind::OutOfBounds, uint32_t(i), "access beyond the function's parameters", offset);
      return;
    }
    pointer[i] = c.frame->params.data() + i * size + offset;
  }
  for (uint32_t k = 0; k < op.count; ++k) {
    if (Store)
      storeValue(c, op, k, pointer.data());
    else
      loadValue(c, op, k, pointer.data());
  }
}

void setClass(Instruction& in, Space space, bool write) {
  switch (space) {
    case Space::Shared:
      in.kind = write ? InstructionClass::StoreShared : InstructionClass::LoadShared;
      break;
    case Space::Local:
      in.kind = write ? InstructionClass::StoreLocal : InstructionClass::LoadLocal;
      break;
    case Space::Const:
    case Space::Param:
      in.kind = InstructionClass::LoadConst;
      break;
    default:
      in.kind = write ? InstructionClass::StoreGlobal : InstructionClass::LoadGlobal;
      break;
  }
}

void decodeParameter(Decoder& d, Instruction& in, MemoryOp& op, const Operand& address, bool isStore) {
  unsigned baseBytes = 8;
  int64_t offset = 0;
  const Symbol* sym = nullptr;
  const Operand& base = address.elements.at(0);
  if (base.kind == Operand::Kind::Symbol) {
    sym = d.symbol(base.name);
    if (!sym || sym->space != Space::Param) throw Unsupported{"'" + base.name + "' is not a parameter"};
    in.imm = sym->address + uint64_t(address.offset);
    op.kernelParameter = sym->kernelParameter;
  } else {
    in.a = d.address(address, baseBytes, offset, &sym);
    in.imm = uint64_t(offset);
    in.aux = baseBytes == 8;
    op.kernelParameter = d.function.entry;
  }
  if (op.kernelParameter && isStore) throw Unsupported{"store to a kernel parameter"};
  if (op.kernelParameter)
    in.run = in.a == kNoRef ? loadKernelParameter : load;
  else
    in.run = isStore ? frameParameter<true> : frameParameter<false>;
}

bool decodeLoadStore(Decoder& d, const Statement& s, Instruction& in, bool isStore) {
  Modifiers m(s);
  d.module.memoryOps.emplace_back();
  MemoryOp& op = d.module.memoryOps.back();
  const bool cacheHint = takeMemoryModifiers(m, op);
  op.count = takeVector(m);
  const Type t = m.type();
  m.done();
  op.elementBytes = uint8_t(ptx::typeBytes(t));
  op.isSigned = ptx::isSigned(t);
  in.payload = &op;
  setClass(in, op.space, isStore);
  const size_t wanted = cacheHint ? 3 : 2;
  if (s.operands.size() != wanted) throw Unsupported{"expected " + std::to_string(wanted) + " operands"};
  const Operand& value = s.operands[isStore ? 1 : 0];
  const Operand& address = s.operands[isStore ? 0 : 1];
  if (address.kind != Operand::Kind::Address) throw Unsupported{"operand is not an address"};
  const bool isVector = value.kind == Operand::Kind::Vector;
  if ((isVector ? value.elements.size() : 1) != op.count) throw Unsupported{"number of vector elements"};
  for (size_t k = 0; k < op.count; ++k) {
    const Operand& e = isVector ? value.elements[k] : value;
    unsigned bytes = d.bytesOf(e);
    if (!bytes) bytes = std::max<unsigned>(2, op.elementBytes);  // constants and sinks
    if (bytes < op.elementBytes) throw Unsupported{"register is too small"};
    op.valueBytes[k] = uint8_t(bytes);
    if (isStore)
      op.value[k] = e.kind == Operand::Kind::Register ? d.source(e, bytes) : d.source(e, t);
    else if (e.kind != Operand::Kind::Sink)
      op.value[k] = d.destination(e, bytes);
  }
  if (op.space == Space::Param) {
    decodeParameter(d, in, op, address, isStore);
    return true;
  }
  if (op.space == Space::Const && isStore) throw Unsupported{"store to constant memory"};
  unsigned baseBytes;
  int64_t offset;
  const Symbol* sym;
  in.a = d.address(address, baseBytes, offset, &sym);
  in.aux = baseBytes == 8;
  in.imm = uint64_t(offset);
  in.run = isStore ? store : load;
  return true;
}

}  // namespace

void moveParameter(Decoder& d, const Instruction& guarded, const Operand& value, uint32_t offset, unsigned bytes,
                   bool store) {
  d.module.memoryOps.emplace_back();
  MemoryOp& op = d.module.memoryOps.back();
  op.space = Space::Param;
  op.elementBytes = op.valueBytes[0] = uint8_t(bytes);
  op.value[0] = store ? d.source(value, bytes) : d.destination(value, bytes);
  Instruction in = d.helper(store ? frameParameter<true> : frameParameter<false>);
  in.guard = guarded.guard, in.guardFlip = guarded.guardFlip;
  in.imm = offset;
  in.payload = &op;
  d.emit(in);
}

bool takeMemoryModifiers(Modifiers& m, MemoryOp& op) {
  op.isVolatile = m.take("volatile") || m.take("mmio");
  const bool relaxed = m.take("relaxed");
  op.acquire = m.take("acquire");
  op.release = m.take("release");
  if (m.take("acq_rel")) op.acquire = op.release = true;
  m.take("weak");
  op.synchronises = op.isVolatile || relaxed || op.acquire || op.release;
  for (const char* scope : {"cta", "cluster", "gpu", "sys"}) m.take(scope);
  op.space = Space::Generic;
  const std::pair<const char*, Space> spaces[] = {{"global", Space::Global},      {"shared", Space::Shared},
                                                  {"shared::cta", Space::Shared}, {"local", Space::Local},
                                                  {"const", Space::Const},        {"param", Space::Param},
                                                  {"param::entry", Space::Param}, {"param::func", Space::Param}};
  for (auto& [name, space] : spaces)
    if (m.take(name)) op.space = space;
  for (const char* hint : {"ca", "cg", "cs", "lu", "wb", "wt", "nc", "unified", "L1::evict_normal",
                           "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate",
                           "L2::evict_normal", "L2::evict_first", "L2::evict_last", "L2::64B", "L2::128B", "L2::256B"})
    m.take(hint);
  if (m.take("cv")) op.isVolatile = op.synchronises = true;
  return m.take("L2::cache_hint");
}

uint8_t takeVector(Modifiers& m) { return m.take("v2") ? 2 : m.take("v4") ? 4 : m.take("v8") ? 8 : 1; }

bool decodeMemory(Decoder& d, const Statement& s, Instruction& in) {
  if (s.op[0] == "ld" || s.op[0] == "ldu") return decodeLoadStore(d, s, in, false);
  if (s.op[0] == "st") return decodeLoadStore(d, s, in, true);
  return false;
}

}  // namespace gpusim
