// SPDX-License-Identifier: Apache-2.0
// Decoding of mma; ldmatrix, stmatrix, movmatrix.
#include <cstring>

#include "exec/access.h"
#include "exec/decoder.h"
#include "exec/interpreter.h"
#include "exec/matrix_multiply.h"
#include "exec/ordering.h"
#include "exec/wmma.h"

namespace gpusim {

using ptx::Operand;
using ptx::Space;
using ptx::Statement;
using ptx::Type;

namespace {

struct MatrixMove {
  std::array<Ref, 4> value = {kNoRef, kNoRef, kNoRef, kNoRef};
  int count = 1;
  bool transpose = false, store = false, wide = false;
  Space space = Space::Shared;
};

/// Row and column, within an 8x8 matrix of 16-bit elements, of a lane's e-th element.
struct Position {
  int row, column;
};
Position positionOf(int lane, int e, bool transpose) {
  if (transpose) return {2 * (lane % 4) + e, lane / 4};
  return {lane / 4, 2 * (lane % 4) + e};
}

/// Lane 8q + i gives the address of row i of matrix q.
void moveMatrices(Context& c, const Instruction& in) {
  if (!wholeWarp(c, in)) return;
  const auto& op = *static_cast<const MatrixMove*>(in.payload);
  const uint32_t executing = c.mask;
  uint8_t staged[kLanes][16];
  if (op.store) {
    for (int q = 0; q < op.count; ++q) {
      const uint32_t* v = c.at<uint32_t>(op.value[size_t(q)]);
      for (int lane = 0; lane < kLanes; ++lane) {
        for (int e = 0; e < 2; ++e) {
          const Position p = positionOf(lane, e, op.transpose);
          const uint16_t half = uint16_t(v[lane] >> (16 * e));
          std::memcpy(&staged[8 * q + p.row][2 * p.column], &half, 2);
        }
      }
    }
  }
  Lanes lanes;
  laneAddresses(c, in.a, op.wide, in.imm, lanes);
  Access a;
  a.space = op.space;
  a.bytes = 16;
  a.write = op.store, a.read = !op.store;
  if (op.store) a.stored = &staged[0][0];
  c.mask = op.count == 4 ? executing : executing & ((1u << (8 * op.count)) - 1);
  const bool ok = resolve(c, in, a, lanes);
  c.mask = executing;
  if (!ok) return;
  for (int q = 0; q < op.count; ++q) {
    if (op.store) {
      for (int row = 0; row < 8; ++row) std::memcpy(lanes.pointer[size_t(8 * q + row)], staged[8 * q + row], 16);
      continue;
    }
    uint32_t* d = c.at<uint32_t>(op.value[size_t(q)]);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!op.transpose) {
        std::memcpy(d + lane, lanes.pointer[size_t(8 * q + lane / 4)] + 4 * (lane % 4), 4);
        continue;
      }
      uint16_t half[2];
      for (int e = 0; e < 2; ++e)
        std::memcpy(&half[e], lanes.pointer[size_t(8 * q + 2 * (lane % 4) + e)] + 2 * (lane / 4), 2);
      d[lane] = uint32_t(half[1]) << 16 | half[0];
    }
  }
  afterCollective(c, op.store);
}

void transposeMatrix(Context& c, const Instruction& in) {
  if (!wholeWarp(c, in)) return;
  uint16_t matrix[8][8];
  const uint32_t* a = c.at<uint32_t>(in.a);
  for (int lane = 0; lane < kLanes; ++lane)
    for (int e = 0; e < 2; ++e) matrix[lane / 4][2 * (lane % 4) + e] = uint16_t(a[lane] >> (16 * e));
  uint32_t* d = c.at<uint32_t>(in.dst);
  for (int lane = 0; lane < kLanes; ++lane)
    d[lane] = uint32_t(matrix[2 * (lane % 4) + 1][lane / 4]) << 16 | matrix[2 * (lane % 4)][lane / 4];
}

bool decodeMatrixMove(Decoder& d, const Statement& s, Instruction& in, bool store) {
  Modifiers m(s);
  m.take("sync"), m.take("aligned");
  if (!m.take("m8n8")) throw Unsupported{"shape"};
  auto* op = d.payload<MatrixMove>();
  op->store = store;
  op->count = m.take("x1") ? 1 : m.take("x2") ? 2 : m.take("x4") ? 4 : 0;
  op->transpose = m.take("trans");
  op->space = m.take("shared") || m.take("shared::cta") ? Space::Shared : Space::Generic;
  if (!op->count || m.type() != Type::B16) throw Unsupported{"variant"};
  m.done();
  const Operand &value = s.operands.at(store ? 1 : 0), &address = s.operands.at(store ? 0 : 1);
  const bool isVector = value.kind == Operand::Kind::Vector;
  if ((isVector ? value.elements.size() : 1) != size_t(op->count)) throw Unsupported{"number of registers"};
  for (size_t q = 0; q < size_t(op->count); ++q) {
    const Operand& e = isVector ? value.elements[q] : value;
    op->value[q] = store ? d.source(e, 4) : d.destination(e, 4);
  }
  unsigned baseBytes;
  int64_t offset;
  const Symbol* sym;
  in.a = d.address(address, baseBytes, offset, &sym);
  op->wide = baseBytes == 8;
  in.imm = uint64_t(offset);
  in.payload = op;
  in.run = moveMatrices;
  in.kind = store ? InstructionClass::StoreShared : InstructionClass::LoadShared;
  return true;
}

std::vector<Ref> fragment(Decoder& d, const Operand& o, const FragmentLayout& f, bool destination) {
  const bool isVector = o.kind == Operand::Kind::Vector;
  if ((isVector ? o.elements.size() : 1) != size_t(f.registers)) throw Unsupported{"number of registers"};
  std::vector<Ref> refs;
  const unsigned bytes = f.type == Type::F64 ? 8 : 4;
  for (int r = 0; r < f.registers; ++r) {
    const Operand& e = isVector ? o.elements[size_t(r)] : o;
    if (destination)
      refs.push_back(d.destination(e, bytes));
    else
      refs.push_back(bytes == 8 ? d.source(e, Type::F64) : d.source(e, f.type == Type::F32 ? Type::F32 : Type::B32));
  }
  return refs;
}

bool legalShape(int m, int n, int k, Type t) {
  const unsigned bits = elementBits(t);
  if (n != 8 || (m != 8 && m != 16)) return false;
  if (t == Type::F64) return (m == 8 && k == 4) || (m == 16 && (k == 4 || k == 8 || k == 16));
  const int unit = t == Type::B1 ? 128 : int(128 / bits);  // k of one register of B
  if (m == 8) return k == unit && bits <= 8;
  return k == unit || k == 2 * unit;
}

/// Operands e and f of mma.sp: the metadata and which of four threads have it. A's fragment is that of half as many
/// columns.
void decodeSparsity(Decoder& d, const Statement& s, MatrixOp& op, Type t) {
  const unsigned bits = elementBits(t);
  Sparsity& p = op.sparsity;
  p.chunk = bits == 32 ? 2 : bits == 4 ? 8 : 4;
  p.parts = bits == 32 ? 1 : 2;
  p.partElements = bits == 4 ? 2 : 1;
  p.rowsShareWord = bits >= 16;
  const int threads = op.k / (4 * p.chunk);  // of each four, contributing
  const Operand& selector = s.operands.at(5);
  if (selector.kind != Operand::Kind::Integer || selector.value >= uint64_t(4 / threads))
    throw Unsupported{"sparsity selector"};
  p.firstThread = int(selector.value) * threads;
  p.metadata = d.source(s.operands.at(4), 4);
}

bool decodeMma(Decoder& d, const Statement& s, Instruction& in) {
  Modifiers m(s);
  const bool ordered = m.take("sp::ordered_metadata"), sparse = ordered || m.take("sp");
  if (!m.take("sync")) throw Unsupported{"variant"};
  m.take("aligned");
  auto* op = d.payload<MatrixOp>();
  const std::string shape = m.next();
  if (std::sscanf(shape.c_str(), "m%dn%dk%d", &op->m, &op->n, &op->k) != 3) throw Unsupported{"shape"};
  const std::string layoutA = m.next(), layoutB = m.next();
  const bool rowA = layoutA == "row", rowB = layoutB == "row";
  if ((!rowA && layoutA != "col") || (!rowB && layoutB != "col")) throw Unsupported{"layout"};
  op->saturate = m.take("satfinite");
  op->bitOperation = m.take("xor") ? 1 : m.take("and") ? 2 : 0;
  m.take("popc");
  const Type td = m.type(), ta = m.type(), tb = m.type(), tc = m.type();
  m.done();
  if (op->m == 8 && op->n == 8 && op->k == 4 && ta == Type::F16) {
    op->copies = 4;
    op->a = quadPairLayoutA(rowA), op->b = quadPairLayoutB(rowB);
    op->c = quadPairLayoutC(tc), op->d = quadPairLayoutC(td);
  } else {
    if (!rowA || rowB) throw Unsupported{"layout"};
    const int kept = sparse ? op->k / 2 : op->k;
    if (!legalShape(op->m, op->n, kept, ta) || elementBits(ta) != elementBits(tb)) throw Unsupported{"shape"};
    if (sparse && (op->m != 16 || ta == Type::B1 || ta == Type::F64)) throw Unsupported{"shape"};
    if ((ta == Type::B1) != (op->bitOperation != 0)) throw Unsupported{"operation"};
    op->a = mmaLayoutA(ta, int(elementBits(ta)), op->m, kept);
    op->b = mmaLayoutB(tb, int(elementBits(tb)), op->n, op->k);
    op->c = mmaLayoutC(tc, op->m, op->n), op->d = mmaLayoutC(td, op->m, op->n);
  }
  op->sparsity.ordered = ordered;
  if (sparse) decodeSparsity(d, s, *op, ta);
  op->dRefs = fragment(d, s.operands.at(0), op->d, true);
  op->aRefs = fragment(d, s.operands.at(1), op->a, false);
  op->bRefs = fragment(d, s.operands.at(2), op->b, false);
  op->cRefs = fragment(d, s.operands.at(3), op->c, false);
  in.payload = op;
  in.run = multiplyMatrices;
  in.kind = InstructionClass::Matrix;
  return true;
}

}  // namespace

bool decodeMatrix(Decoder& d, const Statement& s, Instruction& in) {
  const std::string& op = s.op[0];
  if (op == "ldmatrix") return decodeMatrixMove(d, s, in, false);
  if (op == "stmatrix") return decodeMatrixMove(d, s, in, true);
  if (op == "mma") return decodeMma(d, s, in);
  if (op == "wmma") return decodeWmma(d, s, in);
  if (op == "movmatrix") {
    if (!s.has("m8n8") || !s.has("trans") || !s.has("b16")) throw Unsupported{"variant"};
    in.a = d.source(s.operands.at(1), 4);
    in.dst = d.destination(s.operands.at(0), 4);
    in.run = transposeMatrix;
    in.kind = InstructionClass::WarpSync;
    return true;
  }
  return false;
}

}  // namespace gpusim
