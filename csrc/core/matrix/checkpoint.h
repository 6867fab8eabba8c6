// SPDX-License-Identifier: Apache-2.0
/// @file 4-bit weights as GPTQ, AWQ and compressed-tensors keep them: codes, scales and zero points in tensors of their
/// own, eight codes in a 32-bit word. With n outputs, k inputs and groups of inputs that share a scale:
///
///     GPTQ        codes [k / 8, n], word (c / 8, r), nibble c % 8; zeros [groups, n / 8], nibble r % 8; scales
///                 [groups, n]. A zero point is stored less one (the "gptq_v2" format: as it is).
///     AWQ         codes [k, n / 8], word (c, r / 8); zeros [groups, n / 8]; scales [groups, n]. Rows r % 8 = 0 to 7
///     are in
///                 the nibbles 0, 4, 1, 5, 2, 6, 3, 7.
///     compressed  codes [n, k / 8], word (r, c / 8), nibble c % 8; zeros [n / 8 rounded up, groups], word (r / 8,
///     group),
///                 nibble r % 8; scales [n, groups]. Codes and zero points are signed ones plus 8.
#pragma once
#include <cstdint>
#include <vector>

#include "core/matrix/pack.h"
#include "pagewarp/block_types.h"

namespace pw {

enum class Int4Packing { kGptq, kAwq, kCompressed };

/// Scales come in any floating type; packing rounds them to f16.
enum class ScaleType { kF32, kF16, kBF16 };

/// The parts of one matrix, unaligned. Its memory belongs to the caller.
struct Int4Parts {
  Int4Packing packing;
  int64_t n, k;
  int64_t groupSize;  ///< k where a whole column shares a scale; a multiple of 16, with zero points of 32
  const uint8_t* codes;
  const uint8_t* scales;
  ScaleType scaleType;
  const uint8_t* zeros;        ///< null: symmetric, every zero point is 8
  int zeroShift;               ///< what is added to a stored zero point
  std::vector<int32_t> order;  ///< act-order: column i of the blocks is input order[i]; the groups follow one another
};

/// Bytes of the tensors that the parts point to.
struct Int4Sizes {
  int64_t codes, scales, zeros;
};
Int4Sizes int4Sizes(const Int4Parts& parts);

/// Are all zero points 8, so that Q4_0's blocks can hold the matrix?
bool allZerosAreEight(const Int4Parts& parts);

/// Rows of an Int4Parts as blocks of `type`: Q4_0 or, for groups that end within 32 columns, INT4_G16 where all zero
/// points are 8, else INT4_ZP.
class Int4Rows final : public RowReader {
 public:
  Int4Rows(Int4Parts parts, BlockId type) : parts_(std::move(parts)), type_(type) {}
  void read(int64_t row, uint8_t* blocks) const override;

 private:
  const Int4Parts parts_;
  const BlockId type_;
};

}  // namespace pw
