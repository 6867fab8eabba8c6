// SPDX-License-Identifier: Apache-2.0
/// @file The CPU's packed weight layout, defined once. Packers, kernels and tests all go through these functions.
///
/// A packed matrix is a sequence of strips of 16 rows, a strip a sequence of blocks along k, a block a header with the
/// scales of its groups and then the codes of its groups, 32 columns each. A thread that computes a strip therefore
/// reads memory in one ascending stream, and every 64-byte vector of it is aligned.
///
///     block  = header | group 0 | group 1 | ...
///     group  = 16 rows x 32 columns of codes, as 64-byte vectors of 16 rows x 4 columns: byte 4 * row + column % 4
///       8 bits: 8 vectors, vector i holds columns 4i to 4i + 3
///       4 bits: 4 vectors, vector i holds columns 4i.. in the low nibbles and columns 16 + 4i.. in the high ones
///       6 bits: the low 4 bits as above, then 2 vectors of 2-bit fields: vector i / 4, bits 2 * (i % 4), for columns
///       4i..
///     header = W4, W8:  f16 scale[group][row]
///              W4M:     f16 scale[group][row], f16 min[group][row]
///              W4K:     f16 d[row], f16 dmin[row], then per group u8 s[row], u8 m[row]
///              W6K:     f16 d[row], 32 bytes unused, then per half group i8 s[row]
///
/// One such vector is the unsigned operand of one integer dot-product instruction (vpdpbusd; vpmaddubsw on halves of
/// it), the four activations that it meets are one broadcast 32-bit word. Rows past n and groups past k have zero
/// scales.
#pragma once
#include <cstdint>

#include "pagewarp/matrix.h"

namespace pw {

constexpr int kStripRows = 16;
constexpr int kGroup = 32;
constexpr int kVectorBytes = 64;

/// Constants of a packed format.
struct PackedLayout {
  int codeBits;        ///< 4, 6 or 8
  int offset;          ///< what is subtracted from a code (0: the format has a minimum instead)
  int groupsPerBlock;  ///< groups of 32 columns that share a header
  int headerBytes;
  constexpr int groupBytes() const { return kStripRows * kGroup * codeBits / 8; }
  constexpr int blockBytes() const { return headerBytes + groupsPerBlock * groupBytes(); }
  constexpr int blockColumns() const { return groupsPerBlock * kGroup; }
};

static constexpr bool isPacked(pw_matrix_format format) { return format >= PW_MATRIX_W4; }

static constexpr PackedLayout packedLayout(pw_matrix_format format) {
  switch (format) {
    case PW_MATRIX_W4:
      return {4, 8, 2, 64};
    case PW_MATRIX_W4M:
      return {4, 0, 2, 128};
    case PW_MATRIX_W4K:
      return {4, 0, 8, 320};
    case PW_MATRIX_W8:
      return {8, 128, 2, 64};
    case PW_MATRIX_W6K:
      return {6, 32, 8, 320};
    default:
      return {0, 0, 0, 0};
  }
}

/// Columns that one set of scales of the source covers: k must be a multiple of it.
static constexpr int64_t columnMultiple(pw_matrix_format format) {
  return format == PW_MATRIX_W4K || format == PW_MATRIX_W6K ? 256 : isPacked(format) ? kGroup : 1;
}

static constexpr int64_t stripCount(int64_t n) { return (n + kStripRows - 1) / kStripRows; }
static constexpr int64_t blockCount(const PackedLayout& layout, int64_t k) {
  return (k + layout.blockColumns() - 1) / layout.blockColumns();
}
static constexpr int64_t stripBytes(const PackedLayout& layout, int64_t k) {
  return blockCount(layout, k) * layout.blockBytes();
}

/// Bytes of one row-major element; 0 for packed formats.
static constexpr int64_t elementBytes(pw_matrix_format format) {
  return format == PW_MATRIX_F32 ? 4 : isPacked(format) ? 0 : 2;
}

/// Bytes that a matrix occupies.
static constexpr int64_t matrixBytes(pw_matrix_format format, int64_t n, int64_t k) {
  return isPacked(format) ? stripCount(n) * stripBytes(packedLayout(format), k) : n * k * elementBytes(format);
}

/// Byte offset of the group's codes within its block.
static constexpr int64_t groupOffset(const PackedLayout& layout, int group) {
  return layout.headerBytes + static_cast<int64_t>(group) * layout.groupBytes();
}

/// Where the `width` bits of a code sit: byte offset in the matrix and lowest bit in that byte.
struct CodePosition {
  int64_t byte;
  int shift;
  int width;
};

/// Offset of the block that holds (row, column).
static constexpr int64_t blockOffset(const PackedLayout& layout, int64_t k, int64_t row, int64_t column) {
  return row / kStripRows * stripBytes(layout, k) + column / layout.blockColumns() * layout.blockBytes();
}

/// Position of the code at (row, column); for 6-bit codes that of its low four bits.
static constexpr CodePosition codePosition(const PackedLayout& layout, int64_t k, int64_t row, int64_t column) {
  const int inBlock = static_cast<int>(column % layout.blockColumns()), inGroup = inBlock % kGroup;
  const int64_t group = blockOffset(layout, k, row, column) + groupOffset(layout, inBlock / kGroup);
  const int lane = static_cast<int>(row % kStripRows) * 4 + inGroup % 4;
  if (layout.codeBits == 8) return {group + inGroup / 4 * kVectorBytes + lane, 0, 8};
  return {group + inGroup % 16 / 4 * kVectorBytes + lane, inGroup / 16 * 4, 4};
}

/// Position of the high two bits of a 6-bit code.
static constexpr CodePosition highCodePosition(const PackedLayout& layout, int64_t k, int64_t row, int64_t column) {
  const int inBlock = static_cast<int>(column % layout.blockColumns()), vector = inBlock % kGroup / 4;
  const int64_t group = blockOffset(layout, k, row, column) + groupOffset(layout, inBlock / kGroup);
  const int lane = static_cast<int>(row % kStripRows) * 4 + inBlock % 4;
  return {group + (4 + vector / 4) * kVectorBytes + lane, vector % 4 * 2, 2};
}

/// Byte offsets within a block's header, for row 0 of the strip; rows follow one another.
static constexpr int headerScale(int group) { return group * kStripRows * 2; }            // W4, W4M, W8: f16
static constexpr int headerMin(int group) { return 64 + group * kStripRows * 2; }         // W4M: f16
constexpr int kHeaderD = 0;                                                               // W4K, W6K: f16
constexpr int kHeaderDMin = kStripRows * 2;                                               // W4K: f16
static constexpr int headerScaleK(int group) { return 64 + group * 2 * kStripRows; }      // W4K: u8
static constexpr int headerMinK(int group) { return 64 + (group * 2 + 1) * kStripRows; }  // W4K: u8
static constexpr int headerScale6(int half) { return 64 + half * kStripRows; }  // W6K: i8, half groups of 16 columns

static_assert(packedLayout(PW_MATRIX_W4).blockBytes() == 9 * 64 &&
                  packedLayout(PW_MATRIX_W4M).blockBytes() == 10 * 64 &&
                  packedLayout(PW_MATRIX_W4K).blockBytes() == 37 * 64 &&
                  packedLayout(PW_MATRIX_W8).blockBytes() == 17 * 64 &&
                  packedLayout(PW_MATRIX_W6K).blockBytes() == 53 * 64,
              "blocks are whole cache lines");

}  // namespace pw
