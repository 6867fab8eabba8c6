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
///              W4K, W5K: u8 s[row], u8 m[row];                 super header: f16 d[row], f16 dmin[row]
///              W6K:     i8 s[row] for each half of 16 columns;  super header: f16 d[row]
///
/// A warp multiplies a block at a time: four row tiles by two slices of 16 columns, each one operand of mma.m16n8k16.
/// Lane 4 g + t owns rows 8 g to 8 g + 7 of the strip and columns 4 t to 4 t + 3 of every slice. Tile i takes its rows
/// 8 g + 2 i (as row g of the operand) and 8 g + 2 i + 1 (as row g + 8), so that a lane's sums are eight consecutive
/// output features, and its scales one 16-byte vector. Columns 4 t, 4 t + 1 stand where the instruction expects columns
/// 2 t, 2 t + 1, and 4 t + 2, 4 t + 3 where it expects 2 t + 8, 2 t + 9: the order of columns within a slice is free as
/// long as the activations follow it, and so a lane reads four consecutive activations at once.
///
/// Codes lie as 16-byte vectors, lane after lane: 512 contiguous bytes per vector of a warp. Register r = 2 (column
/// pair) + (row of the tile's two) of a tile's operand holds two codes, `half` the column of the pair.
///     4 bits: vector `slice`; word `tile`; nibble r + 4 half: (word >> 4 r) & 0x000f000f is register r
///     5 bits: the low four bits as above; then 8 bytes per lane: word `slice`, bit 16 half + 4 tile + r
///     6 bits: the low four bits as above; then one vector for both slices: word `tile`, bits 16 half + 8 slice + 2 r
///     8 bits: vector 2 slice + tile / 2; byte 8 (tile % 2) + 2 r + half
/// Rows past n and blocks past k have zero scales.
#pragma once
#include <stdint.h>

#include "pagewarp/matrix.h"

#ifdef __CUDACC__
#define PW_HOST_DEVICE __host__ __device__
#else
#define PW_HOST_DEVICE
#endif

namespace pw::gpu {

constexpr int kStripRows = 64;
constexpr int kLaneRows = 8;
constexpr int kBlockColumns = 32;
constexpr int kSliceColumns = 16;
constexpr int kSuperColumns = 256;
constexpr int kVectorBytes = 16;
constexpr int kLanes = 32;

/// Constants of a packed format.
struct PackedLayout {
  int codeBits;          ///< 4, 5, 6 or 8
  int offset;            ///< what is subtracted from a code (0: the format has a minimum instead)
  int headerBytes;       ///< per block
  int superHeaderBytes;  ///< per 256 columns, 0 for formats without
  PW_HOST_DEVICE constexpr int codeBytes() const { return kStripRows * kBlockColumns * codeBits / 8; }
  PW_HOST_DEVICE constexpr int blockBytes() const { return headerBytes + codeBytes(); }
  PW_HOST_DEVICE constexpr bool hasHighBits() const { return codeBits == 5 || codeBits == 6; }
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
      return {4, 0, 64, 0};
    case PW_MATRIX_W4T:
    case PW_MATRIX_W4N:
      return {4, 0, 128, 0};
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

/// Where the `width` bits of a code sit: byte offset in the block's codes and lowest bit in that byte.
struct CodePosition {
  int byte, shift, width;
};

/// Position of the code at (row, column) of a block; for 5- and 6-bit codes that of its low four bits.
PW_HOST_DEVICE constexpr CodePosition codePosition(const PackedLayout& layout, int row, int column) {
  const OperandPosition p = operandPosition(row, column);
  if (layout.codeBits == 8)
    return {((2 * p.slice + p.tile / 2) * kLanes + p.lane) * kVectorBytes + p.tile % 2 * 8 + 2 * p.reg + p.half, 0, 8};
  const int nibble = p.reg + 4 * p.half;
  return {(p.slice * kLanes + p.lane) * kVectorBytes + p.tile * 4 + nibble / 2, nibble % 2 * 4, 4};
}

/// Position of the bits above those of a 5- or 6-bit code.
PW_HOST_DEVICE constexpr CodePosition highCodePosition(const PackedLayout& layout, int row, int column) {
  const OperandPosition p = operandPosition(row, column);
  constexpr int kLow = 2 * kLanes * kVectorBytes;
  if (layout.codeBits == 5) {
    const int bit = 16 * p.half + 4 * p.tile + p.reg;
    return {kLow + p.lane * 8 + p.slice * 4 + bit / 8, bit % 8, 1};
  }
  const int bit = 16 * p.half + 8 * p.slice + 2 * p.reg;
  return {kLow + p.lane * kVectorBytes + p.tile * 4 + bit / 8, bit % 8, 2};
}

/// Byte offsets in a block's header and in a super header, for row 0 of the strip; rows follow one another.
constexpr int kHeaderScale = 0;              // W4, W4M, W4Z, W5M, W8: f16; W4K, W5K: u8; W4X: u8 exponent
constexpr int kHeaderMin = kStripRows * 2;   // W4M, W5M: f16
constexpr int kHeaderZero = kStripRows * 2;  // W4Z: u8
constexpr int kHeaderMinK = kStripRows;      // W4K, W5K: u8
constexpr int kSuperD = 0;                   // W4K, W5K, W6K: f16
constexpr int kSuperDMin = kStripRows * 2;   // W4K, W5K: f16
PW_HOST_DEVICE constexpr int headerScaleSlice(int slice) { return slice * kStripRows; }  // W6K: i8, W4N: u8

static_assert(packedLayout(PW_MATRIX_W4).blockBytes() == 1152 && packedLayout(PW_MATRIX_W4M).blockBytes() == 1280 &&
                  packedLayout(PW_MATRIX_W4K).blockBytes() == 1152 && packedLayout(PW_MATRIX_W8).blockBytes() == 2176 &&
                  packedLayout(PW_MATRIX_W6K).blockBytes() == 1664,
              "a lane owns whole 16-byte vectors");

}  // namespace pw::gpu
