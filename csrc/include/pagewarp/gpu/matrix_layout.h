// SPDX-License-Identifier: Apache-2.0
/// @file The packed weight layout of CUDA devices, defined once: the packer, the kernels and the tests go through these
/// functions. It is made for tensor cores with the weights as their 16-row operand, for any number of tokens.
///
/// A matrix is a sequence of strips of 64 rows, a strip a sequence of blocks of 32 columns; a block is a header with
/// the scales of its rows and then its codes. Q4_K, Q5_K and Q6_K put a second header before every eight blocks.
///
///     strip = W4, W4M, W4Z, W5M, W8:  block | block | ...
///             W4K, W5K, W6K: (super header | 8 blocks) | ...
///     header = W4, W4T, W8:  f16 scale[row]
///              W4M, W5M:  f16 scale[row], f16 min[row]
///              W4Z:     f16 scale[row], u8 zero[row]
///              W4X:     u8 e[row]
///              W4N:     u8 s[row] for each half of 16 columns
///              W4S:     f16 scale[row] for each half of 16 columns
///              W4K, W5K: u8 s[row], u8 m[row];                 super header: f16 d[row], f16 dmin[row]
///              W6K:     u8 s[row] for each half of 16 columns;  super header: f16 d[row]
///
/// A warp multiplies a block at a time: four row tiles by two slices of 16 columns, each one operand of mma.m16n8k16.
/// Lane 4 g + t owns rows 8 g to 8 g + 7 of the strip and columns 4 t to 4 t + 3 of every slice. Tile i takes its rows
/// 8 g + 2 i (as row g of the operand) and 8 g + 2 i + 1 (as row g + 8), so that a lane's sums are eight consecutive
/// output features, and its scales one 16-byte vector. Columns 4 t, 4 t + 1 stand where the instruction expects columns
/// 2 t, 2 t + 1, and 4 t + 2, 4 t + 3 where it expects 2 t + 8, 2 t + 9: the order of columns within a slice is free as
/// long as the activations follow it, and so a lane reads four consecutive activations at once.
///
/// Codes lie as 16-byte vectors, lane after lane: 512 contiguous bytes per vector of a warp. Register r = 2 (column
/// pair) + (row of the tile's two) of a tile's operand holds two codes, `half` the column of the pair. Kernels make an
/// operand of a word by masking 16 bits of both halves alike; what takes them least follows, where pair number
/// P = 8 tile + 4 slice + r, and bits are those of half 0: half 1 has its own 16 bits further up.
///     4 bits: word 4 slice + tile; bits 4 r to 4 r + 3
///     4 bits of a table (W4T): word 4 slice + tile; byte r has half 0 in its low and half 1 in its high nibble
///     e2m1 (W4X, W4N): word 4 slice + tile; r = 0: magnitude in bits 9 to 11 and sign in bit 15, where f16 has these;
///             r = 1: eight bits below; r = 2 and 3: the same two of the word with its 32 bits in reverse
///     5 bits: even pairs: bits 0 to 4 of words 0 to 9, odd ones: bits 5 to 9, where kernels leave them. The last six
///     of
///             both lie above, in one part or several, such that a shift of a word serves as many as possible
///     6 bits: even pairs: bits 4 to 9 of words 0 to 11, where kernels leave them, and bits 10 to 15 of words 0 to 3;
///             odd ones: the low four bits in bits 0 to 3 of words 0 to 7 and the high two in two of these of words 8
///             to 11, and bits 10 to 15 of words 4 to 11
///     8 bits: word 8 slice + 2 tile + r / 2; byte 2 (r % 2) + half
/// The ninth and tenth word of 5-bit codes follow the vectors, 8 bytes per lane. NVFP4's scales have lost their sign,
/// to their codes, and NaN is 255.
/// Rows past n and blocks past k have zero scales.
#pragma once
#include <stdint.h>

#include "pagewarp/matrix.h"

#ifdef __CUDACC__
#define PW_HOST_DEVICE __host__ __device__
/// In front of a loop with constant bounds over an array that kernels must have in registers.
#define PW_DEVICE_UNROLL _Pragma("unroll")
#else
#define PW_HOST_DEVICE
#define PW_DEVICE_UNROLL
#endif

namespace pw::gpu {

constexpr int kStripRows = 64;
constexpr int kLaneRows = 8;
constexpr int kBlockColumns = 32;
constexpr int kSliceColumns = 16;
constexpr int kSuperColumns = 256;
constexpr int kVectorBytes = 16;
constexpr int kLanes = 32;

/// How codes lie in the words of a lane.
enum class CodeOrder { Fields, Pairs, Floats };

/// Constants of a packed format.
struct PackedLayout {
  int codeBits;          ///< 4, 5, 6 or 8
  int offset;            ///< what is subtracted from a code (0: the format has a minimum instead)
  int headerBytes;       ///< per block
  int superHeaderBytes;  ///< per 256 columns, 0 for formats without
  CodeOrder order = CodeOrder::Fields;
  PW_HOST_DEVICE constexpr int codeBytes() const { return kStripRows * kBlockColumns * codeBits / 8; }
  PW_HOST_DEVICE constexpr int blockBytes() const { return headerBytes + codeBytes(); }
  /// Words of codes that a lane has of a block, and 16-byte vectors of them.
  PW_HOST_DEVICE constexpr int laneWords() const { return codeBytes() / (kLanes * 4); }
  PW_HOST_DEVICE constexpr int laneVectors() const { return laneWords() / 4; }
};

PW_HOST_DEVICE constexpr PackedLayout packedLayout(pw_matrix_format format) {
  switch (format) {
    case PW_MATRIX_W4:
      return {4, 8, 128, 0};
    case PW_MATRIX_W4M:
      return {4, 0, 256, 0};
    case PW_MATRIX_W4Z:
      return {4, 0, 192, 0};
    case PW_MATRIX_W4K:
      return {4, 0, 128, 256};
    case PW_MATRIX_W5K:
      return {5, 0, 128, 256};
    case PW_MATRIX_W5M:
      return {5, 0, 256, 0};
    case PW_MATRIX_W4X:
      return {4, 0, 64, 0, CodeOrder::Floats};
    case PW_MATRIX_W4N:
      return {4, 0, 128, 0, CodeOrder::Floats};
    case PW_MATRIX_W4T:
      return {4, 0, 128, 0, CodeOrder::Pairs};
    case PW_MATRIX_W4S:
      return {4, 8, 256, 0};
    case PW_MATRIX_W8:
      return {8, 128, 128, 0};
    case PW_MATRIX_W6K:
      return {6, 32, 128, 128};
    default:
      return {0, 0, 0, 0};
  }
}

PW_HOST_DEVICE constexpr int64_t stripCount(int64_t n) { return (n + kStripRows - 1) / kStripRows; }
PW_HOST_DEVICE constexpr int64_t blockCount(int64_t k) { return (k + kBlockColumns - 1) / kBlockColumns; }

PW_HOST_DEVICE constexpr int64_t stripBytes(const PackedLayout& layout, int64_t k) {
  return (k + kSuperColumns - 1) / kSuperColumns * layout.superHeaderBytes + blockCount(k) * layout.blockBytes();
}

/// Bytes that a packed matrix occupies.
PW_HOST_DEVICE constexpr int64_t packedBytes(pw_matrix_format format, int64_t n, int64_t k) {
  return stripCount(n) * stripBytes(packedLayout(format), k);
}

/// Byte offset of the super header that covers block `block` of strip `strip`.
PW_HOST_DEVICE constexpr int64_t superHeaderOffset(const PackedLayout& layout, int64_t k, int64_t strip,
                                                   int64_t block) {
  constexpr int kBlocks = kSuperColumns / kBlockColumns;
  return strip * stripBytes(layout, k) +
         block / kBlocks * (layout.superHeaderBytes + kBlocks * static_cast<int64_t>(layout.blockBytes()));
}

/// Byte offset of a block's header; its codes follow.
PW_HOST_DEVICE constexpr int64_t blockOffset(const PackedLayout& layout, int64_t k, int64_t strip, int64_t block) {
  if (layout.superHeaderBytes == 0) return strip * stripBytes(layout, k) + block * layout.blockBytes();
  constexpr int kBlocks = kSuperColumns / kBlockColumns;
  return superHeaderOffset(layout, k, strip, block) + layout.superHeaderBytes +
         block % kBlocks * static_cast<int64_t>(layout.blockBytes());
}

/// Which register of which lane's operand holds an element of a block.
struct OperandPosition {
  int lane, tile, slice, reg, half;
};

PW_HOST_DEVICE constexpr OperandPosition operandPosition(int row, int column) {
  const int inSlice = column % kSliceColumns, inLane = row % kLaneRows;
  return {row / kLaneRows * 4 + inSlice / 4, inLane / 2, column / kSliceColumns, inSlice % 4 / 2 * 2 + inLane % 2,
          inSlice % 2};
}

/// Bits of a code: `width` of them, from bit `shift` of 32-bit word `word` on.
struct CodeBits {
  int word, shift, width;
};

/// Where the bits of a code lie, from the lowest on.
struct CodePosition {
  static constexpr int kMostParts = 4;
  CodeBits parts[kMostParts];
  int count;
};

/// Five-bit codes of pair `pair`, of the half whose bits are those from `at` on.
PW_HOST_DEVICE constexpr CodePosition fiveBits(int pair, int at) {
  const bool odd = pair % 2 != 0;
  const int i = pair / 2;
  if (i < 10) return {{{i, at + 5 * (pair % 2), 5}}, 1};
  switch (i) {
    case 10:
    case 11:
    case 12:
      return odd ? CodePosition{{{i - 7, at + 11, 5}}, 1} : CodePosition{{{i - 10, at + 10, 5}}, 1};
    case 13:
    case 14:
      return odd ? CodePosition{{{i - 13, at + 15, 1}, {i - 5, at + 12, 4}}, 2}
                 : CodePosition{{{i - 7, at + 10, 4}, {i - 10, at + 10, 1}}, 2};
    default:
      return odd ? CodePosition{{{2, at + 15, 1}, {6, at + 14, 2}, {7, at + 14, 2}}, 3}
                 : CodePosition{{{8, at + 10, 2}, {9, at + 10, 2}, {5, at + 10, 1}}, 3};
  }
}

/// The same of six-bit codes.
PW_HOST_DEVICE constexpr CodePosition sixBits(int pair, int at) {
  const int i = pair / 2;
  if (pair % 2 == 0) return i < 12 ? CodePosition{{{i, at + 4, 6}}, 1} : CodePosition{{{i - 12, at + 10, 6}}, 1};
  if (i >= 8) return {{{i - 4, at + 10, 6}}, 1};
  return {{{i, at, 4}, {8 + i / 2, at + 2 * (i % 2), 2}}, 2};
}

/// Position of a code among the words of its lane.
PW_HOST_DEVICE constexpr CodePosition laneCode(const PackedLayout& layout, const OperandPosition& p) {
  const int at = 16 * p.half, word = 4 * p.slice + p.tile, pair = 8 * p.tile + 4 * p.slice + p.reg;
  if (layout.order == CodeOrder::Pairs) return {{{word, 8 * p.reg + 4 * p.half, 4}}, 1};
  if (layout.order == CodeOrder::Floats) {
    const int low = at + (p.reg % 2 == 0 ? 9 : 1), sign = low + 6;
    if (p.reg < 2) return {{{word, low, 3}, {word, sign, 1}}, 2};
    return {{{word, 31 - low, 1}, {word, 30 - low, 1}, {word, 29 - low, 1}, {word, 31 - sign, 1}}, 4};
  }
  switch (layout.codeBits) {
    case 8:
      return {{{8 * p.slice + 2 * p.tile + p.reg / 2, 16 * (p.reg % 2) + 8 * p.half, 8}}, 1};
    case 6:
      return sixBits(pair, at);
    case 5:
      return fiveBits(pair, at);
    default:
      return {{{word, at + 4 * p.reg, 4}}, 1};
  }
}

/// Which 32-bit word of a block's codes is word `word` of a lane.
PW_HOST_DEVICE constexpr int laneWord(const PackedLayout& layout, int lane, int word) {
  const int vectors = layout.laneVectors();
  return word < 4 * vectors ? (word / 4 * kLanes + lane) * 4 + word % 4
                            : 4 * vectors * kLanes + lane * (layout.laneWords() - 4 * vectors) + word - 4 * vectors;
}

/// Position of the code at (row, column) of a block among the words of the block's codes.
PW_HOST_DEVICE constexpr CodePosition codePosition(const PackedLayout& layout, int row, int column) {
  const OperandPosition operand = operandPosition(row, column);
  CodePosition position = laneCode(layout, operand);
  for (int i = 0; i < position.count; ++i)
    position.parts[i].word = laneWord(layout, operand.lane, position.parts[i].word);
  return position;
}

/// The code at a position.
PW_HOST_DEVICE constexpr uint32_t codeAt(const uint32_t* words, const CodePosition& position) {
  uint32_t code = 0;
  int low = 0;
  for (int i = 0; i < position.count; ++i) {
    const CodeBits& part = position.parts[i];
    code |= (words[part.word] >> part.shift & ((1u << part.width) - 1)) << low;
    low += part.width;
  }
  return code;
}

/// Byte offsets in a block's header and in a super header, for row 0 of the strip; rows follow one another.
constexpr int kHeaderScale = 0;              // W4, W4M, W4Z, W5M, W8: f16; W4K, W5K: u8; W4X: u8 exponent
constexpr int kHeaderMin = kStripRows * 2;   // W4M, W5M: f16
constexpr int kHeaderZero = kStripRows * 2;  // W4Z: u8
constexpr int kHeaderMinK = kStripRows;      // W4K, W5K: u8
constexpr int kSuperD = 0;                   // W4K, W5K, W6K: f16
constexpr int kSuperDMin = kStripRows * 2;   // W4K, W5K: f16
PW_HOST_DEVICE constexpr int headerScaleSlice(int slice) { return slice * kStripRows; }     // W6K, W4N: u8
PW_HOST_DEVICE constexpr int headerHalfSlice(int slice) { return slice * kStripRows * 2; }  // W4S: f16

/// W6K's scales are signed: this much is added.
constexpr int kScaleBias = 128;

static_assert(packedLayout(PW_MATRIX_W4).blockBytes() == 1152 && packedLayout(PW_MATRIX_W4M).blockBytes() == 1280 &&
                  packedLayout(PW_MATRIX_W4K).blockBytes() == 1152 && packedLayout(PW_MATRIX_W8).blockBytes() == 2176 &&
                  packedLayout(PW_MATRIX_W6K).blockBytes() == 1664,
              "a lane owns whole 16-byte vectors");

}  // namespace pw::gpu
