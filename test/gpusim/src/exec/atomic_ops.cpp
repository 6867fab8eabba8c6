// SPDX-License-Identifier: Apache-2.0
// atom and red. Each lane's operation is atomic for the host too, since streams run on threads of their own.
#include <cmath>
#include <cstring>
#include <mutex>

#include "exec/access.h"
#include "exec/decoder.h"
#include "exec/formats.h"
#include "exec/memory_modifiers.h"
#include "exec/ordering.h"

namespace gpusim {

using ptx::Operand;
using ptx::Space;
using ptx::Statement;
using ptx::Type;

namespace {

enum AtomicKind : uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor, kExch, kCas, kInc, kDec };

struct AtomicOp : MemoryOp {
  AtomicKind kind = kAdd;
  Type type = Type::U32;
  Ref second = kNoRef;  ///< cas: new value
  bool noFtz = true;
  bool result = true;
};

template <class T>
T combineInteger(AtomicKind kind, T old, T v) {
  using U = std::make_unsigned_t<T>;
  switch (kind) {
    case kAdd:
      return T(U(old) + U(v));
    case kMin:
      return v < old ? v : old;
    case kMax:
      return v > old ? v : old;
    case kAnd:
      return T(old & v);
    case kOr:
      return T(old | v);
    case kXor:
      return T(old ^ v);
    case kInc:
      return U(old) >= U(v) ? T(0) : T(U(old) + 1);
    case kDec:
      return old == 0 || U(old) > U(v) ? v : T(U(old) - 1);
    default:
      return v;
  }
}

float flushed(float v) { return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(0.0f, v) : v; }

uint16_t combineHalf(AtomicKind kind, bool bfloat, uint16_t old, uint16_t v) {
  const float a = bfloat ? decodeBfloat(old) : decodeHalf(old), b = bfloat ? decodeBfloat(v) : decodeHalf(v);
  float r;
  if (kind == kAdd)
    r = a + b;
  else if (std::isnan(a) || std::isnan(b))
    r = std::isnan(a) ? b : a;
  else
    r = kind == kMin ? std::fmin(a, b) : std::fmax(a, b);
  return bfloat ? bfloatFromFloat(r) : halfFromFloat(r);
}

/// The new value for one lane; all values as bits.
uint64_t combine(const AtomicOp& op, uint64_t old, uint64_t v) {
  switch (op.type) {
    case Type::F32: {
      float a, b;
      const uint32_t ao = uint32_t(old), bo = uint32_t(v);
      std::memcpy(&a, &ao, 4), std::memcpy(&b, &bo, 4);
      // atom.add.f32 on global memory flushes subnormals, on shared memory it does not
      float r = op.noFtz ? a + b : flushed(flushed(a) + flushed(b));
      uint32_t bits;
      std::memcpy(&bits, &r, 4);
      return bits;
    }
    case Type::F64: {
      double a, b;
      std::memcpy(&a, &old, 8), std::memcpy(&b, &v, 8);
      const double r = a + b;
      uint64_t bits;
      std::memcpy(&bits, &r, 8);
      return bits;
    }
    case Type::F16:
    case Type::BF16:
      return combineHalf(op.kind, op.type == Type::BF16, uint16_t(old), uint16_t(v));
    case Type::F16x2:
    case Type::BF16x2: {
      const bool bf = op.type == Type::BF16x2;
      return uint64_t(combineHalf(op.kind, bf, uint16_t(old >> 16), uint16_t(v >> 16))) << 16 |
             combineHalf(op.kind, bf, uint16_t(old), uint16_t(v));
    }
    case Type::S32:
      return uint32_t(combineInteger(op.kind, int32_t(old), int32_t(v)));
    case Type::S64:
      return uint64_t(combineInteger(op.kind, int64_t(old), int64_t(v)));
    default:
      return op.elementBytes == 4   ? combineInteger(op.kind, uint32_t(old), uint32_t(v))
             : op.elementBytes == 8 ? combineInteger(op.kind, old, v)
                                    : combineInteger(op.kind, uint16_t(old), uint16_t(v));
  }
}

/// Replaces the value at p by f(value) in one step; returns the old value.
template <class T, class F>
T update(uint8_t* p, F f, bool& changed) {
  T* at = reinterpret_cast<T*>(p);
  T old = __atomic_load_n(at, __ATOMIC_SEQ_CST);
  while (true) {
    const T fresh = f(old);
    if (__atomic_compare_exchange_n(at, &old, fresh, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      changed |= fresh != old;
      return old;
    }
  }
}

template <class T>
bool atomicLanes(Context& c, const AtomicOp& op, const Instruction& in, const Lanes& lanes) {
  bool changed = false;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    for (uint32_t k = 0; k < op.count; ++k) {
      const T v = c.at<T>(op.value[k])[lane];
      const T fresh = op.kind == kCas ? c.at<T>(op.second)[lane] : T(0);
      const T old = update<T>(
          lanes.pointer[lane] + k * sizeof(T),
          [&](T x) { return op.kind == kCas    ? (x == v ? fresh : x)
                            : op.kind == kExch ? v
                                               : T(combine(op, x, v)); },
          changed);
      if (!op.result) continue;
      const Ref d = op.count == 1 ? in.dst : op.value[4 + k];
      if (d != kNoRef) c.at<T>(d)[lane] = old;
    }
  }
  return changed;
}

struct Wide {
  uint64_t low, high;
  bool operator==(const Wide&) const = default;
};

bool atomicWide(Context& c, const AtomicOp& op, const Instruction& in, const Lanes& lanes) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  bool changed = false;
  for (uint32_t m = c.mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    Wide old;
    std::memcpy(&old, lanes.pointer[lane], sizeof old);
    const Wide v = c.at<Wide>(op.value[0])[lane];
    const Wide fresh = op.kind == kExch ? v : old == v ? c.at<Wide>(op.second)[lane] : old;
    changed |= !(fresh == old);
    std::memcpy(lanes.pointer[lane], &fresh, sizeof fresh);
    c.at<Wide>(in.dst)[lane] = old;
  }
  return changed;
}

void atomic(Context& c, const Instruction& in) {
  const auto& op = *static_cast<const AtomicOp*>(in.payload);
  Lanes lanes;
  laneAddresses(c, in.a, in.aux & 1, in.imm, lanes);
  Access a;
  a.space = op.space;
  a.bytes = uint32_t(op.elementBytes) * op.count;
  a.write = true;
  a.synchronises = true;
  a.checkInit = op.kind != kExch;
  if (!resolve(c, in, a, lanes)) return;
  c.worker->atomics += uint64_t(__builtin_popcount(c.mask));
  // "last block" code relies on a relaxed atomic that sees a fenced one: it counts as acquiring
  synchronise(c, lanes, true, op.release, true);
  bool changed;
  switch (op.elementBytes) {
    case 2:
      changed = atomicLanes<uint16_t>(c, op, in, lanes);
      break;
    case 4:
      changed = atomicLanes<uint32_t>(c, op, in, lanes);
      break;
    case 8:
      changed = atomicLanes<uint64_t>(c, op, in, lanes);
      break;
    default:
      changed = atomicWide(c, op, in, lanes);
      break;
  }
  if (changed) {
    progressed(c);
    ++c.warp->syncOperations;
  } else {
    polled(c, in);
  }
}

AtomicKind takeKind(Modifiers& m) {
  const std::pair<const char*, AtomicKind> kinds[] = {{"add", kAdd}, {"min", kMin}, {"max", kMax},   {"and", kAnd},
                                                      {"or", kOr},   {"xor", kXor}, {"exch", kExch}, {"cas", kCas},
                                                      {"inc", kInc}, {"dec", kDec}};
  for (auto& [name, kind] : kinds)
    if (m.take(name)) return kind;
  throw Unsupported{"atomic operation"};
}

void checkType(const AtomicOp& op) {
  const bool f = ptx::isFloat(op.type), half = f && op.type != Type::F32 && op.type != Type::F64;
  const bool ok =
      !f || op.kind == kAdd || op.kind == kExch || op.kind == kCas || (half && (op.kind == kMin || op.kind == kMax));
  if (!ok || op.elementBytes == 1) throw Unsupported{"type of this atomic operation"};
  if (op.elementBytes == 16 && op.kind != kCas && op.kind != kExch) throw Unsupported{"type of this atomic operation"};
}

}  // namespace

bool decodeAtomic(Decoder& d, const Statement& s, Instruction& in) {
  if (s.op[0] != "atom" && s.op[0] != "red") return false;
  Modifiers m(s);
  auto* op = d.payload<AtomicOp>();
  op->result = s.op[0] == "atom";
  op->kind = takeKind(m);
  const bool cacheHint = takeMemoryModifiers(m, *op);
  op->noFtz = m.take("noftz");
  op->count = takeVector(m);
  op->type = m.type();
  m.done();
  op->elementBytes = uint8_t(ptx::typeBytes(op->type));
  if (op->type == Type::F32) op->noFtz = op->space == Space::Shared;
  checkType(*op);
  size_t next = 0;
  const Operand* result = op->result ? &s.operands.at(next++) : nullptr;
  unsigned baseBytes;
  int64_t offset;
  const Symbol* sym;
  in.a = d.address(s.operands.at(next++), baseBytes, offset, &sym);
  in.aux = baseBytes == 8;
  in.imm = uint64_t(offset);
  const Operand& value = s.operands.at(next++);
  if (op->count > 4) throw Unsupported{"vector of this size"};
  for (size_t k = 0; k < op->count; ++k) {
    const Operand& e = op->count == 1 ? value : value.elements.at(k);
    op->value[k] = d.source(e, op->type);
    if (result && op->count > 1) op->value[4 + k] = d.destination(result->elements.at(k), op->elementBytes);
  }
  if (op->kind == kCas) op->second = d.source(s.operands.at(next++), op->type);
  if (result && op->count == 1) in.dst = d.destination(*result, op->elementBytes);
  if (s.operands.size() != next + (cacheHint ? 1 : 0)) throw Unsupported{"number of operands"};
  in.payload = op;
  in.run = atomic;
  in.kind = InstructionClass::Atomic;
  return true;
}

}  // namespace gpusim
