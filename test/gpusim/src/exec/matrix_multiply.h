// SPDX-License-Identifier: Apache-2.0
/// @file matrix_multiply.h
/// The arithmetic that mma and wmma share: fragments are gathered into whole matrices, multiplied, and scattered back.
///
/// Numerics. Products of f16, bf16, tf32 and 8-bit floats are exact in f32. They are added to the accumulator one by
/// one in the order of k, each sum rounded to nearest in f32; an f16 accumulator is rounded once, at the end. (The
/// hardware adds in a wider format with truncation, in an order that is not documented.) f64 uses fma in the order of
/// k; integers are exact and wrap, or saturate with .satfinite.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "exec/context.h"
#include "ptx/ast.h"

namespace gpusim {

/// One operand of a matrix instruction: where the elements of each lane's registers lie in the matrix.
struct FragmentLayout {
  ptx::Type type = ptx::Type::F16;
  int rows = 0, columns = 0;
  int registers = 0;    ///< per lane
  int perRegister = 1;  ///< elements in a register (words for b1)
  int copies = 1;       ///< independent matrices side by side (the four of m8n8k4)
  /// [(register * perRegister + element) * 32 + lane] -> index in the matrices, row-major
  std::vector<uint16_t> index;

  int elements() const { return rows * columns * copies; }
};

/// mma.sp: A holds half of its elements, and four bits of metadata say where those of a chunk of a row belong. A chunk
/// has two parts, each of which a two-bit index places.
struct Sparsity {
  Ref metadata = kNoRef;  ///< none: A is dense
  int firstThread = 0;    ///< of each group of four: the first that contributes metadata
  int chunk = 4;          ///< elements of a row of A that share four bits
  int parts = 2;          ///< parts of a chunk that are kept; tf32 keeps one of two elements
  int partElements = 1;
  bool rowsShareWord = false;  ///< rows r and r + 8 have the halves of one word, else words of their own
  bool ordered = false;        ///< .sp::ordered_metadata: the indices of a chunk must rise
};

struct MatrixOp {
  FragmentLayout a, b, c, d;
  Sparsity sparsity;
  std::vector<Ref> aRefs, bRefs, cRefs, dRefs;
  int m = 0, n = 0, k = 0, copies = 1;
  bool saturate = false;
  int bitOperation = 0;  ///< b1: 1 xor.popc, 2 and.popc
};

/// d = a * b + c over all lanes of the warp; a kernel error when lanes are missing.
void multiplyMatrices(Context& c, const Instruction& in);

/// Fragments of mma.m8n8kK and mma.m16n8kK with A by rows and B by columns: one formula covers every type, see the
/// figures "Fragment layout for ..." of the PTX manual. `bits` is the size of an element.
FragmentLayout mmaLayoutA(ptx::Type t, int bits, int m, int k);
FragmentLayout mmaLayoutB(ptx::Type t, int bits, int n, int k);
FragmentLayout mmaLayoutC(ptx::Type t, int m, int n);
/// The quad-pair fragments of mma.m8n8k4 with f16 multiplicands (four products a warp).
FragmentLayout quadPairLayoutA(bool row);
FragmentLayout quadPairLayoutB(bool row);
FragmentLayout quadPairLayoutC(ptx::Type t);

unsigned elementBits(ptx::Type t);
/// All 32 lanes execute this together; else an error is raised and false returned.
bool wholeWarp(Context& c, const Instruction& in);

}  // namespace gpusim
