// SPDX-License-Identifier: Apache-2.0
#include "exec/wmma.h"

#include <cstdio>
#include <cstring>

#include "exec/access.h"
#include "exec/matrix_multiply.h"
#include "exec/ordering.h"

namespace gpusim {

using ptx::Operand;
using ptx::Space;
using ptx::Statement;
using ptx::Type;

namespace {

struct Shape {
  int m = 0, n = 0, k = 0;
};

Shape takeShape(Modifiers& m, const Statement& s) {
  Shape shape;
  for (auto& part : s.op) {
    if (std::sscanf(part.c_str(), "m%dn%dk%d", &shape.m, &shape.n, &shape.k) != 3) continue;
    m.take(part.c_str());
    return shape;
  }
  throw Unsupported{"shape"};
}

/// Elements are dealt to the lanes in turn. f16 multiplicands have more registers than elements: the rest are copies.
/// Accumulators of 16 columns lie as those of two mma.m16n8.
FragmentLayout layoutOf(char operand, Type t, const Shape& s, int registers) {
  FragmentLayout f;
  const unsigned bits = elementBits(t);
  f.type = t;
  f.rows = operand == 'b' ? s.k : s.m;
  f.columns = operand == 'a' ? s.k : s.n;
  f.perRegister = t == Type::B1 || bits >= 32 ? 1 : int(32 / bits);
  if (t == Type::B1) (operand == 'a' ? f.columns : f.rows) /= 32;
  f.registers = registers;
  const int total = f.rows * f.columns;
  const bool accumulator = operand == 'c' && s.m == 16 && s.n == 16;
  for (int r = 0; r < registers; ++r) {
    for (int e = 0; e < f.perRegister; ++e) {
      for (int lane = 0; lane < kLanes; ++lane) {
        int index;
        if (accumulator) {
          const int i = r * f.perRegister + e;  // 0..7
          index = (lane / 4 + 8 * (i >> 1 & 1)) * 16 + 2 * (lane % 4) + (i & 1) + 8 * (i >> 2);
        } else if (operand == 'b') {
          // a register's elements follow each other down a column, so that packed 4-bit columns load as words
          const int unit = (r * kLanes + lane) * f.perRegister + e;
          index = unit % total % f.rows * f.columns + unit % total / f.rows;
        } else {
          index = (r * kLanes + lane) * f.perRegister % total + e;
        }
        f.index.push_back(uint16_t(index));
      }
    }
  }
  return f;
}

struct WmmaMove {
  FragmentLayout layout;
  std::vector<Ref> refs;
  Ref stride = kNoRef;
  bool store = false, rowMajor = true, wide = true;
  Space space = Space::Generic;
};

/// Elements below a byte are moved a register at a time, others one by one.
void moveFragment(Context& c, const Instruction& in) {
  if (!wholeWarp(c, in)) return;
  const auto& op = *static_cast<const WmmaMove*>(in.payload);
  const FragmentLayout& f = op.layout;
  const unsigned bits = elementBits(f.type);
  const bool words = bits < 8;
  const int steps = words ? 1 : f.perRegister;
  const uint32_t bytes = words ? 4 : bits / 8;
  Lanes base;
  laneAddresses(c, in.a, op.wide, in.imm, base);
  for (int r = 0; r < f.registers; ++r) {
    for (int e = 0; e < steps; ++e) {
      Lanes lanes;
      for (size_t lane = 0; lane < kLanes; ++lane) {
        const int index = f.index[size_t(r * f.perRegister + e) * kLanes + lane];
        const uint64_t row = uint64_t(index / f.columns), column = uint64_t(index % f.columns);
        uint64_t stride = c.at<uint32_t>(op.stride)[lane];
        uint64_t at;
        if (words) {
          const uint64_t perWord = 32 / bits;
          const uint64_t along = op.rowMajor ? column : row, across = op.rowMajor ? row : column;
          at = (across * stride / perWord + (f.type == Type::B1 ? along : along / perWord)) * 4;
        } else {
          at = (op.rowMajor ? row * stride + column : column * stride + row) * bytes;
        }
        lanes.address[lane] = base.address[lane] + at;
      }
      Access a;
      a.space = op.space;
      a.bytes = bytes;
      a.write = op.store, a.read = !op.store;
      if (!resolve(c, in, a, lanes)) return;
      uint8_t* value = c.at<uint8_t>(op.refs[size_t(r)]);
      const size_t registerBytes = f.type == Type::F64 ? 8 : 4;
      for (size_t lane = 0; lane < kLanes; ++lane) {
        uint8_t* v = value + lane * registerBytes + size_t(e) * bytes;
        if (op.store)
          std::memcpy(lanes.pointer[lane], v, bytes);
        else
          std::memcpy(v, lanes.pointer[lane], bytes);
      }
    }
  }
  afterCollective(c, op.store);
}

std::vector<Ref> fragment(Decoder& d, const Operand& o, Type t, bool destination) {
  std::vector<Ref> refs;
  const unsigned bytes = t == Type::F64 ? 8 : 4;
  auto add = [&](const Operand& e) { refs.push_back(destination ? d.destination(e, bytes) : d.source(e, bytes)); };
  if (o.kind == Operand::Kind::Vector) {
    for (auto& e : o.elements) add(e);
  } else {
    add(o);
  }
  return refs;
}

bool decodeMove(Decoder& d, const Statement& s, Instruction& in, bool store) {
  Modifiers m(s);
  m.take(store ? "store" : "load");
  char operand = 0;
  for (const char* name : {"a", "b", "c", "d"})
    if (m.take(name)) operand = *name == 'd' ? 'c' : *name;
  if (!operand) throw Unsupported{"variant"};
  m.take("sync"), m.take("aligned");
  auto* op = d.payload<WmmaMove>();
  op->store = store;
  op->rowMajor = m.take("row");
  if (!op->rowMajor && !m.take("col")) throw Unsupported{"layout"};
  const Shape shape = takeShape(m, s);
  op->space = m.take("global")                            ? Space::Global
              : m.take("shared") || m.take("shared::cta") ? Space::Shared
                                                          : Space::Generic;
  const Type t = m.type();
  m.done();
  const Operand &address = s.operands.at(store ? 0 : 1), &value = s.operands.at(store ? 1 : 0);
  op->refs = fragment(d, value, t, !store);
  op->layout = layoutOf(operand, t, shape, int(op->refs.size()));
  unsigned baseBytes;
  int64_t offset;
  const Symbol* sym;
  in.a = d.address(address, baseBytes, offset, &sym);
  op->wide = baseBytes == 8;
  in.imm = uint64_t(offset);
  if (s.operands.size() > 2) {
    op->stride = d.source(s.operands[2], 4);
  } else {
    const int inner = operand == 'a'   ? (op->rowMajor ? shape.k : shape.m)
                      : operand == 'b' ? (op->rowMajor ? shape.n : shape.k)
                                       : (op->rowMajor ? shape.n : shape.m);
    op->stride = d.constant(4, uint64_t(inner));
  }
  in.payload = op;
  in.run = moveFragment;
  const bool shared = op->space == Space::Shared;
  in.kind = store ? (shared ? InstructionClass::StoreShared : InstructionClass::StoreGlobal)
                  : (shared ? InstructionClass::LoadShared : InstructionClass::LoadGlobal);
  return true;
}

bool decodeMultiply(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  m.take("mma");
  auto* op = d.payload<MatrixOp>();
  op->bitOperation = m.take("xor") ? 1 : m.take("and") ? 2 : 0;
  m.take("popc"), m.take("sync"), m.take("aligned");
  m.take("row"), m.take("row"), m.take("col"), m.take("col");
  const Shape shape = takeShape(m, s);
  op->saturate = m.take("satfinite");
  m.take("rn");
  Type td = m.type(), ta = m.type(), tb = Type::F16, tc;
  if (m.hasType()) {
    tb = m.type();
    tc = m.type();
  } else {
    tc = ta;
    ta = Type::F16;
  }
  m.done();
  if (op->saturate && td != Type::S32) throw Unsupported{".satfinite"};
  op->m = shape.m, op->n = shape.n, op->k = shape.k;
  op->dRefs = fragment(d, s.operands.at(0), td, true);
  op->aRefs = fragment(d, s.operands.at(1), ta, false);
  op->bRefs = fragment(d, s.operands.at(2), tb, false);
  op->cRefs = fragment(d, s.operands.at(3), tc, false);
  op->a = layoutOf('a', ta, shape, int(op->aRefs.size()));
  op->b = layoutOf('b', tb, shape, int(op->bRefs.size()));
  op->c = layoutOf('c', tc, shape, int(op->cRefs.size()));
  op->d = layoutOf('c', td, shape, int(op->dRefs.size()));
  in.payload = op;
  in.run = multiplyMatrices;
  in.kind = InstructionClass::Matrix;
  return true;
}

}  // namespace

bool decodeWmma(Decoder& d, const Statement& s, Instruction& in) {
  if (s.has("load")) return decodeMove(d, s, in, false);
  if (s.has("store")) return decodeMove(d, s, in, true);
  if (s.has("mma")) return decodeMultiply(d, s, in);
  return false;
}

}  // namespace gpusim
