// SPDX-License-Identifier: Apache-2.0
#include "exec/matrix_multiply.h"

namespace gpusim {

using ptx::Type;

namespace {

/// Fills the index from row and column formulas of (lane, register, element).
template <class Row, class Column>
FragmentLayout make(Type t, int rows, int columns, int registers, int perRegister, Row row, Column column) {
  FragmentLayout f;
  f.type = t;
  f.rows = rows, f.columns = columns, f.registers = registers, f.perRegister = perRegister;
  for (int r = 0; r < registers; ++r)
    for (int e = 0; e < perRegister; ++e)
      for (int lane = 0; lane < kLanes; ++lane)
        f.index.push_back(uint16_t(row(lane, r, e) * columns + column(lane, r, e)));
  return f;
}

/// As make, for one of four matrices: lanes 4q..4q+3 and 16+4q..16+4q+3 share matrix q.
template <class Row, class Column>
FragmentLayout makeQuadPair(Type t, int rows, int columns, int registers, int perRegister, Row row, Column column) {
  FragmentLayout f = make(t, rows, columns, registers, perRegister, row, column);
  f.copies = 4;
  for (size_t i = 0; i < f.index.size(); ++i)
    f.index[i] = uint16_t(f.index[i] + (i % kLanes / 4 % 4) * size_t(rows * columns));
  return f;
}

}  // namespace

unsigned elementBits(Type t) {
  switch (t) {
    case Type::B1:
      return 1;
    case Type::U4:
    case Type::S4:
      return 4;
    case Type::U8:
    case Type::S8:
    case Type::E4M3:
    case Type::E5M2:
      return 8;
    case Type::F16:
    case Type::BF16:
      return 16;
    case Type::F64:
      return 64;
    default:
      return 32;
  }
}

FragmentLayout mmaLayoutA(Type t, int bits, int m, int k) {
  const int per = t == Type::B1 || bits >= 32 ? 1 : 32 / bits, columns = t == Type::B1 ? k / 32 : k;
  const int rowBlocks = m / 8, registers = m * columns / (kLanes * per);
  return make(
      t, m, columns, registers, per, [=](int lane, int r, int) { return lane / 4 + 8 * (r % rowBlocks); },
      [=](int lane, int r, int e) { return per * (lane % 4) + 4 * per * (r / rowBlocks) + e; });
}

FragmentLayout mmaLayoutB(Type t, int bits, int n, int k) {
  const int per = t == Type::B1 || bits >= 32 ? 1 : 32 / bits, rows = t == Type::B1 ? k / 32 : k;
  const int registers = rows * n / (kLanes * per);
  return make(
      t, rows, n, registers, per, [=](int lane, int r, int e) { return per * (lane % 4) + 4 * per * r + e; },
      [](int lane, int, int) { return lane / 4; });
}

FragmentLayout mmaLayoutC(Type t, int m, int n) {
  const int per = t == Type::F16 ? 2 : 1, registers = m * n / (kLanes * per);
  return make(
      t, m, n, registers, per, [=](int lane, int r, int) { return lane / 4 + 8 * (per == 2 ? r : r / 2); },
      [=](int lane, int r, int e) { return 2 * (lane % 4) + (per == 2 ? e : r % 2); });
}

FragmentLayout quadPairLayoutA(bool row) {
  auto outer = [](int lane) { return lane % 4; };
  auto half = [](int lane) { return lane < 16 ? 0 : 4; };
  if (row)
    return makeQuadPair(
        Type::F16, 8, 4, 2, 2, [=](int l, int, int) { return outer(l) + half(l); },
        [](int, int r, int e) { return 2 * r + e; });
  return makeQuadPair(
      Type::F16, 8, 4, 2, 2, [=](int l, int r, int e) { return 2 * r + e + half(l); },
      [=](int l, int, int) { return outer(l); });
}

FragmentLayout quadPairLayoutB(bool row) {
  auto outer = [](int lane) { return lane % 4; };
  auto half = [](int lane) { return lane < 16 ? 0 : 4; };
  if (row)
    return makeQuadPair(
        Type::F16, 4, 8, 2, 2, [=](int l, int, int) { return outer(l); },
        [=](int l, int r, int e) { return 2 * r + e + half(l); });
  return makeQuadPair(
      Type::F16, 4, 8, 2, 2, [](int, int r, int e) { return 2 * r + e; },
      [=](int l, int, int) { return outer(l) + half(l); });
}

FragmentLayout quadPairLayoutC(Type t) {
  auto half = [](int lane) { return lane < 16 ? 0 : 4; };
  if (t == Type::F16)
    return makeQuadPair(
        t, 8, 8, 4, 2, [=](int l, int, int) { return l % 4 + half(l); }, [](int, int r, int e) { return 2 * r + e; });
  return makeQuadPair(
      t, 8, 8, 8, 1, [=](int l, int r, int) { return (l & 1) + (r & 2) + half(l); },
      [](int l, int r, int) { return (r & 4) + (l & 2) + (r & 1); });
}

}  // namespace gpusim
