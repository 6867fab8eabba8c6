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
///       5 bits: the low 4 bits as above, then 1 vector of high bits: bit i for columns 4i..
///       6 bits: the low 4 bits as above, then 2 vectors of 2-bit fields: vector i / 4, bits 2 * (i % 4), for columns
///       4i..
///     header = W4, W5, W8, W4T:  f16 scale[group][row]
///              W4M, W5M:         f16 scale[group][row], f16 min[group][row]
///              W4K, W5K:         f16 d[row], f16 dmin[row], then per group u8 s[row], u8 m[row]
///              W6K:              f16 d[row], 32 bytes unused, then per half group i8 s[row]
///              W4Z:              f16 scale[group][row], then u8 zero[group][row]
///              W4X:              u8 exponent[group][row]
///              W4N:              per half group u8 s[row]
///              W4S:              per half group f16 scale[row]
///
/// The tables of a W4T matrix lie together, outside the strips: f32 levels[table][16] as they were given, then f32
/// unit[table] and u8 code[table][16] for integer arithmetic: level ~ unit * (code - 128), exactly where the levels are
/// integers from -127 to 127. There is one table, or one for each row of the strips.
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
  int codeBits;        ///< 4, 5, 6 or 8
  int offset;          ///< what is subtracted from a code (0: the format has minima, zero points or levels instead)
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
    case PW_MATRIX_W5:
      return {5, 16, 2, 64};
    case PW_MATRIX_W5M:
      return {5, 0, 2, 128};
    case PW_MATRIX_W5K:
      return {5, 0, 8, 320};
    case PW_MATRIX_W4Z:
      return {4, 0, 4, 192};
    case PW_MATRIX_W4T:
      return {4, 0, 2, 64};
    case PW_MATRIX_W4X:
      return {4, 0, 4, 64};
    case PW_MATRIX_W4N:
      return {4, 0, 2, 64};
    case PW_MATRIX_W4S:
      return {4, 8, 2, 128};
    default:
      return {0, 0, 0, 0};
  }
}

/// Columns that one set of scales of the source covers: k must be a multiple of it.
static constexpr int64_t columnMultiple(pw_matrix_format format) {
  const bool deep = format == PW_MATRIX_W4K || format == PW_MATRIX_W5K || format == PW_MATRIX_W6K;
  return deep ? 256 : isPacked(format) ? kGroup : 1;
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

/// Bytes that a matrix occupies, without its tables and its order.
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

/// Position of the code at (row, column); for 5-bit and 6-bit codes that of its low four bits.
static constexpr CodePosition codePosition(const PackedLayout& layout, int64_t k, int64_t row, int64_t column) {
  const int inBlock = static_cast<int>(column % layout.blockColumns()), inGroup = inBlock % kGroup;
  const int64_t group = blockOffset(layout, k, row, column) + groupOffset(layout, inBlock / kGroup);
  const int lane = static_cast<int>(row % kStripRows) * 4 + inGroup % 4;
  if (layout.codeBits == 8) return {group + inGroup / 4 * kVectorBytes + lane, 0, 8};
  return {group + inGroup % 16 / 4 * kVectorBytes + lane, inGroup / 16 * 4, 4};
}

/// Position of the high bits of a 5-bit or 6-bit code.
static constexpr CodePosition highCodePosition(const PackedLayout& layout, int64_t k, int64_t row, int64_t column) {
  const int inBlock = static_cast<int>(column % layout.blockColumns()), vector = inBlock % kGroup / 4;
  const int64_t group = blockOffset(layout, k, row, column) + groupOffset(layout, inBlock / kGroup);
  const int lane = static_cast<int>(row % kStripRows) * 4 + inBlock % 4;
  if (layout.codeBits == 5) return {group + 4 * kVectorBytes + lane, vector, 1};
  return {group + (4 + vector / 4) * kVectorBytes + lane, vector % 4 * 2, 2};
}

/// Byte offsets within a block's header, for row 0 of the strip; rows follow one another.
static constexpr int headerScale(int group) { return group * kStripRows * 2; }     // W4, W5, W8 with or without M, T, Z
static constexpr int headerMin(int group) { return 64 + group * kStripRows * 2; }  // W4M, W5M: f16
constexpr int kHeaderD = 0;                                                        // W4K, W5K, W6K: f16
constexpr int kHeaderDMin = kStripRows * 2;                                        // W4K, W5K: f16
static constexpr int headerScaleK(int group) { return 64 + group * 2 * kStripRows; }      // W4K, W5K: u8
static constexpr int headerMinK(int group) { return 64 + (group * 2 + 1) * kStripRows; }  // W4K, W5K: u8
static constexpr int headerScale6(int half) { return 64 + half * kStripRows; }   // W6K: i8, half groups of 16 columns
static constexpr int headerZero(int group) { return 128 + group * kStripRows; }  // W4Z: u8
static constexpr int headerExponent(int group) { return group * kStripRows; }    // W4X: u8
static constexpr int headerScaleN(int half) { return half * kStripRows; }        // W4N: u8, half groups of 16 columns
static constexpr int headerScaleS(int half) { return half * kStripRows * 2; }    // W4S: f16, half groups

static_assert(
    packedLayout(PW_MATRIX_W4).blockBytes() == 9 * 64 && packedLayout(PW_MATRIX_W4M).blockBytes() == 10 * 64 &&
        packedLayout(PW_MATRIX_W4K).blockBytes() == 37 * 64 && packedLayout(PW_MATRIX_W8).blockBytes() == 17 * 64 &&
        packedLayout(PW_MATRIX_W6K).blockBytes() == 53 * 64 && packedLayout(PW_MATRIX_W5).blockBytes() == 11 * 64 &&
        packedLayout(PW_MATRIX_W5M).blockBytes() == 12 * 64 && packedLayout(PW_MATRIX_W5K).blockBytes() == 45 * 64 &&
        packedLayout(PW_MATRIX_W4Z).blockBytes() == 19 * 64 && packedLayout(PW_MATRIX_W4T).blockBytes() == 9 * 64 &&
        packedLayout(PW_MATRIX_W4X).blockBytes() == 17 * 64 && packedLayout(PW_MATRIX_W4N).blockBytes() == 9 * 64 &&
        packedLayout(PW_MATRIX_W4S).blockBytes() == 10 * 64,
    "blocks are whole cache lines");

constexpr int kLevels = 16;
constexpr int kLevelCodeOffset = 128;

/// Floats that a format has beside its codes and scales, per matrix or per row: W4T's levels, W4N's factor.
static constexpr int64_t tableLength(pw_matrix_format format) {
  return format == PW_MATRIX_W4T ? kLevels : format == PW_MATRIX_W4N ? 1 : 0;
}

/// Bytes of the tables of a matrix.
static constexpr int64_t levelBytes(pw_matrix_format format, int64_t tables) {
  return tables * (format == PW_MATRIX_W4T ? kLevels * 4 + 4 + kLevels : tableLength(format) * 4);
}

/// The tables for integer arithmetic, behind the levels themselves.
static inline const float* levelUnits(const pw_matrix& m) { return m.levels + kLevels * m.level_tables; }
static inline const uint8_t* levelCodes(const pw_matrix& m) {
  return reinterpret_cast<const uint8_t*>(levelUnits(m) + m.level_tables);
}

/// Twice the magnitudes of MXFP4's codes (e2m1) below 8; the others are their negatives. And all of them as unsigned
/// codes.
constexpr int kFp4Doubled[8] = {0, 1, 2, 3, 4, 6, 8, 12};
constexpr int kFp4CodeOffset = 12;
constexpr uint8_t kFp4Codes[kLevels] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

}  // namespace pw
