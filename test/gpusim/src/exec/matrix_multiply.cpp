// SPDX-License-Identifier: Apache-2.0
#include "exec/matrix_multiply.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "exec/formats.h"
#include "exec/interpreter.h"

namespace gpusim {

using ptx::Type;

namespace {

constexpr int kMost = 32 * 32;         // elements of the largest operand, with copies
constexpr int kMostSparse = 16 * 128;  // elements of the largest sparse A, with its zeros

float decodeFloat(Type t, uint32_t bits) {
  switch (t) {
    case Type::F16:
      return decodeHalf(uint16_t(bits));
    case Type::BF16:
      return decodeBfloat(uint16_t(bits));
    case Type::E4M3:
      return decodeE4M3(uint8_t(bits));
    case Type::E5M2:
      return decodeE5M2(uint8_t(bits));
    case Type::TF32:
      return std::bit_cast<float>(bits & 0xFFFFE000);  // the hardware ignores the lowest bits
    default:
      return std::bit_cast<float>(bits);
  }
}

int32_t decodeInteger(Type t, uint32_t bits) {
  switch (t) {
    case Type::S8:
      return int8_t(bits);
    case Type::U8:
      return uint8_t(bits);
    case Type::S4:
      return int32_t(bits << 28) >> 28;
    case Type::U4:
      return int32_t(bits & 15);
    default:
      return int32_t(bits);
  }
}

const std::array<float, 256>& byteTable(Type t) {
  auto fill = [](Type type) {
    std::array<float, 256> table;
    for (uint32_t i = 0; i < 256; ++i) table[i] = decodeFloat(type, i);
    return table;
  };
  static const std::array<float, 256> kE4M3 = fill(Type::E4M3), kE5M2 = fill(Type::E5M2);
  return t == Type::E4M3 ? kE4M3 : kE5M2;
}

/// Calls put(index, bits) for every element of a fragment.
template <class Put>
void gather(const Context& c, const FragmentLayout& f, const std::vector<Ref>& refs, Put put) {
  const unsigned bits = f.perRegister == 1 ? 32 : 32u / unsigned(f.perRegister);
  const uint32_t keep = bits == 32 ? ~0u : (1u << bits) - 1;
  const uint16_t* index = f.index.data();
  for (int r = 0; r < f.registers; ++r) {
    const uint32_t* v = c.at<uint32_t>(refs[size_t(r)]);
    for (int e = 0; e < f.perRegister; ++e, index += kLanes)
      for (int lane = 0; lane < kLanes; ++lane) put(index[lane], v[lane] >> (unsigned(e) * bits) & keep);
  }
}

void gatherFloats(const Context& c, const FragmentLayout& f, const std::vector<Ref>& refs, float* out) {
  switch (f.type) {
    case Type::F16:
      gather(c, f, refs, [=](int i, uint32_t v) { out[i] = decodeHalf(uint16_t(v)); });
      break;
    case Type::BF16:
      gather(c, f, refs, [=](int i, uint32_t v) { out[i] = decodeBfloat(uint16_t(v)); });
      break;
    case Type::E4M3:
    case Type::E5M2: {
      const float* table = byteTable(f.type).data();
      gather(c, f, refs, [=](int i, uint32_t v) { out[i] = table[v]; });
      break;
    }
    default:
      gather(c, f, refs, [&](int i, uint32_t v) { out[i] = decodeFloat(f.type, v); });
      break;
  }
}

void scatterFloats(const Context& c, const FragmentLayout& f, const std::vector<Ref>& refs, const float* from) {
  const uint16_t* index = f.index.data();
  for (int r = 0; r < f.registers; ++r) {
    uint32_t* d = c.at<uint32_t>(refs[size_t(r)]);
    if (f.perRegister == 2) {
      for (int lane = 0; lane < kLanes; ++lane)
        d[lane] = uint32_t(halfFromFloat(from[index[kLanes + lane]])) << 16 | halfFromFloat(from[index[lane]]);
      index += 2 * kLanes;
    } else {
      for (int lane = 0; lane < kLanes; ++lane) {
        const float v = from[index[lane]];
        d[lane] = v != v ? 0x7FFFFFFF : std::bit_cast<uint32_t>(v);
      }
      index += kLanes;
    }
  }
}

template <int N>
void multiplyRows(const float* a, const float* b, float* c, int m, int k) {
  for (int i = 0; i < m; ++i) {
    float row[N];
    for (int j = 0; j < N; ++j) row[j] = c[i * N + j];
    for (int p = 0; p < k; ++p) {
      const float x = a[i * k + p];
      for (int j = 0; j < N; ++j) row[j] += x * b[p * N + j];
    }
    for (int j = 0; j < N; ++j) c[i * N + j] = row[j];
  }
}

/// The four bits that belong to a chunk of a row. A word of metadata holds eight chunks: of one row, or four each of
/// rows r and r + 8. The words of a group of rows lie in neighbouring threads, row by row, then along k.
uint32_t chunkMetadata(const uint32_t* metadata, const Sparsity& s, int row, int chunk) {
  const int group = 4 * (row % 8) + s.firstThread;
  if (s.rowsShareWord) return metadata[group + chunk / 4] >> (16 * (row / 8) + 4 * (chunk % 4)) & 15;
  return metadata[group + row / 8 + 2 * (chunk / 8)] >> (4 * (chunk % 8)) & 15;
}

bool isMeaningful(const Sparsity& s, uint32_t bits) {
  const uint32_t first = bits & 3, second = bits >> 2;
  if (s.parts == 1) return bits == 0b0100 || bits == 0b1110;
  return s.ordered ? first < second : first != second;
}

/// Puts the elements of a sparse A, which follow each other in `kept`, where its metadata says.
template <class T>
void spread(Context& c, const Instruction& in, const MatrixOp& op, const T* kept, T* a) {
  const Sparsity& s = op.sparsity;
  const uint32_t* metadata = c.at<uint32_t>(s.metadata);
  std::fill_n(a, op.m * op.k, T(0));
  for (int row = 0; row < op.m; ++row) {
    for (int chunk = 0; chunk < op.k / s.chunk; ++chunk, kept += s.parts * s.partElements) {
      const uint32_t bits = chunkMetadata(metadata, s, row, chunk);
      // zeros may have any metadata, as where a matrix is padded
      const bool matters = std::any_of(kept, kept + s.parts * s.partElements, [](T v) { return v != T(0); });
      if (matters && !isMeaningful(s, bits))
        note(c, in, ReportKind::WarpSync, uint32_t(4 * (row % 8)),
             "sparse metadata " + std::to_string(bits) + " for row " + std::to_string(row) + ", columns from " +
                 std::to_string(chunk * s.chunk) + ", is none of those allowed: the result is undefined");
      for (int p = 0; p < s.parts; ++p) {
        const int index = int(bits >> (2 * p) & 3) >> (s.parts == 1 ? 1 : 0);
        std::copy_n(kept + p * s.partElements, s.partElements,
                    a + row * op.k + chunk * s.chunk + index * s.partElements);
      }
    }
  }
}

void multiplyFloats(Context& c, const Instruction& in, const MatrixOp& op) {
  alignas(64) float a[kMostSparse], b[kMost], d[kMost];
  if (op.sparsity.metadata == kNoRef) {
    gatherFloats(c, op.a, op.aRefs, a);
  } else {
    float kept[kMost];
    gatherFloats(c, op.a, op.aRefs, kept);
    spread(c, in, op, kept, a);
  }
  gatherFloats(c, op.b, op.bRefs, b);
  gatherFloats(c, op.c, op.cRefs, d);
  for (int copy = 0; copy < op.copies; ++copy) {
    const float *pa = a + copy * op.m * op.k, *pb = b + copy * op.k * op.n;
    float* pd = d + copy * op.m * op.n;
    if (op.n == 8)
      multiplyRows<8>(pa, pb, pd, op.m, op.k);
    else if (op.n == 16)
      multiplyRows<16>(pa, pb, pd, op.m, op.k);
    else
      multiplyRows<32>(pa, pb, pd, op.m, op.k);
  }
  scatterFloats(c, op.d, op.dRefs, d);
}

void multiplyDoubles(Context& c, const MatrixOp& op) {
  double a[kMost], b[kMost], d[kMost];
  auto load = [&](const FragmentLayout& f, const std::vector<Ref>& refs, double* out) {
    for (int r = 0; r < f.registers; ++r)
      for (int lane = 0; lane < kLanes; ++lane)
        out[f.index[size_t(r * kLanes + lane)]] = c.at<double>(refs[size_t(r)])[lane];
  };
  load(op.a, op.aRefs, a), load(op.b, op.bRefs, b), load(op.c, op.cRefs, d);
  for (int i = 0; i < op.m; ++i)
    for (int p = 0; p < op.k; ++p)
      for (int j = 0; j < op.n; ++j) d[i * op.n + j] = std::fma(a[i * op.k + p], b[p * op.n + j], d[i * op.n + j]);
  for (int r = 0; r < op.d.registers; ++r)
    for (int lane = 0; lane < kLanes; ++lane)
      c.at<double>(op.dRefs[size_t(r)])[lane] = d[op.d.index[size_t(r * kLanes + lane)]];
}

void multiplyIntegers(Context& c, const Instruction& in, const MatrixOp& op) {
  int32_t a[kMostSparse], b[kMost], d[kMost];
  const Type ta = op.a.type, tb = op.b.type;
  const bool sparse = op.sparsity.metadata != kNoRef;
  int32_t kept[kMost];
  int32_t* gathered = sparse ? kept : a;
  gather(c, op.a, op.aRefs, [&](int i, uint32_t v) { gathered[i] = decodeInteger(ta, v); });
  if (sparse) spread(c, in, op, kept, a);
  gather(c, op.b, op.bRefs, [&](int i, uint32_t v) { b[i] = decodeInteger(tb, v); });
  gather(c, op.c, op.cRefs, [&](int i, uint32_t v) { d[i] = int32_t(v); });
  const int k = op.b.rows;
  for (int i = 0; i < op.m; ++i) {
    for (int j = 0; j < op.n; ++j) {
      int64_t sum = d[i * op.n + j];
      for (int p = 0; p < k; ++p) {
        const int32_t x = a[i * k + p], y = b[p * op.n + j];
        sum += op.bitOperation == 1   ? std::popcount(uint32_t(x ^ y))
               : op.bitOperation == 2 ? std::popcount(uint32_t(x & y))
                                      : x * y;
      }
      d[i * op.n + j] = op.saturate ? int32_t(std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX)) : int32_t(sum);
    }
  }
  for (int r = 0; r < op.d.registers; ++r)
    for (int lane = 0; lane < kLanes; ++lane)
      c.at<int32_t>(op.dRefs[size_t(r)])[lane] = d[op.d.index[size_t(r * kLanes + lane)]];
}

}  // namespace

bool wholeWarp(Context& c, const Instruction& in) {
  if (c.mask == kAllLanes) return true;
  if (!gatherLanes(c, in, kAllLanes, WaitKind::Instruction)) return false;
  if (c.mask == kAllLanes) return true;
  return !c.launch->checks.sync ||
         hazard(c, in, ReportKind::WarpSync, lowestLane(c.mask), "a matrix instruction needs all 32 lanes of the warp");
}

void multiplyMatrices(Context& c, const Instruction& in) {
  if (!wholeWarp(c, in)) return;
  const auto& op = *static_cast<const MatrixOp*>(in.payload);
  const int multiplied = op.sparsity.metadata == kNoRef ? op.k : op.k / 2;
  c.worker->matrixOperations +=
      uint64_t(2) * uint64_t(op.m) * uint64_t(op.n) * uint64_t(multiplied) * uint64_t(op.copies);
  if (op.d.type == Type::F64)
    multiplyDoubles(c, op);
  else if (op.d.type == Type::S32)
    multiplyIntegers(c, in, op);
  else
    multiplyFloats(c, in, op);
}

}  // namespace gpusim
