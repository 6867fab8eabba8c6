// SPDX-License-Identifier: Apache-2.0
/// @file From rows of GGUF blocks to the packed layout of CUDA devices, for the packing kernel and for the host alike.
/// The blocks' own layout is described in core/matrix/block_formats.h.
#pragma once
#include "pagewarp/block_types.h"
#include "pagewarp/gpu/matrix_layout.h"

namespace pw::gpu {

/// Rows of a strip in their source format, one after the other.
struct StripSource {
  const uint8_t* data;
  int64_t rowBytes;
  int rows;  ///< that exist, at most kStripRows
  PW_HOST_DEVICE const uint8_t* row(int i) const { return data + i * rowBytes; }
};

/// Bytes and columns of a source block, its first code (nibbles; Q8_0: bytes; Q6_K: the low four bits).
struct SourceBlock {
  int bytes, columns, codes;
};

PW_HOST_DEVICE constexpr SourceBlock sourceBlock(uint32_t type) {
  switch (type) {
    case kGgmlQ4_0:
    case kGgmlIQ4_NL:
    case kBlockLut4:
    case kBlockNvfp4:
      return {18, 32, 2};
    case kGgmlQ4_1:
    case kBlockInt4G16:
      return {20, 32, 4};
    case kGgmlQ5_0:
      return {22, 32, 6};
    case kGgmlQ5_1:
      return {24, 32, 8};
    case kGgmlQ8_0:
      return {34, 32, 2};
    case kGgmlQ4_K:
      return {144, 256, 16};
    case kGgmlQ5_K:
      return {176, 256, 48};
    case kGgmlMXFP4:
      return {17, 32, 1};
    case kBlockInt4Zp:
      return {19, 32, 3};
    default:
      return {210, 256, 0};
  }
}

/// The format in which CUDA devices hold a block type's values without loss; false when there is none. Q5_0 and IQ4_NL
/// become 8-bit codes.
PW_HOST_DEVICE constexpr bool packedFormat(uint32_t type, pw_matrix_format* format) {
  switch (type) {
    case kGgmlQ4_0:
      *format = PW_MATRIX_W4;
      return true;
    case kGgmlQ4_1:
      *format = PW_MATRIX_W4M;
      return true;
    case kBlockInt4Zp:
      *format = PW_MATRIX_W4Z;
      return true;
    case kGgmlQ4_K:
      *format = PW_MATRIX_W4K;
      return true;
    case kGgmlQ5_K:
      *format = PW_MATRIX_W5K;
      return true;
    case kGgmlQ5_1:
      *format = PW_MATRIX_W5M;
      return true;
    case kGgmlQ6_K:
      *format = PW_MATRIX_W6K;
      return true;
    case kGgmlMXFP4:
      *format = PW_MATRIX_W4X;
      return true;
    case kBlockNvfp4:
      *format = PW_MATRIX_W4N;
      return true;
    case kBlockInt4G16:
      *format = PW_MATRIX_W4S;
      return true;
    case kBlockLut4:
      *format = PW_MATRIX_W4T;
      return true;
    case kGgmlQ5_0:
    case kGgmlIQ4_NL:
    case kGgmlQ8_0:
      *format = PW_MATRIX_W8;
      return true;
    default:
      return false;
  }
}

PW_HOST_DEVICE constexpr pw_matrix_format packedFormatOf(uint32_t type) {
  pw_matrix_format format = PW_MATRIX_F32;
  packedFormat(type, &format);
  return format;
}

/// Four codes of IQ4_NL as the levels that they stand for, plus 128.
PW_HOST_DEVICE inline uint32_t iq4Levels(uint32_t four) {
  // 1, 24, 45, 63, 79, 93, 106, 118; 129, 141, 153, 166, 181, 197, 217, 241
  constexpr uint64_t kLow = 0x766a5d4f3f2d1801u, kHigh = 0xf1d9c5b5a6998d81u;
  uint32_t levels = 0;
  for (int e = 0; e < 4; ++e) {
    const uint32_t code = four >> (8 * e) & 15;
    levels |= static_cast<uint32_t>((code < 8 ? kLow : kHigh) >> (code % 8 * 8) & 0xff) << (8 * e);
  }
  return levels;
}

/// Four codes of the packed format, one per byte, of columns 16 slice + 4 t and the next three of a block of 32.
PW_HOST_DEVICE inline uint32_t sourceCodes(uint32_t type, const uint8_t* row, int64_t block, int slice, int t) {
  const auto load = [](const uint8_t* p) {
    return p[0] | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 |
           static_cast<uint32_t>(p[3]) << 24;
  };
  const SourceBlock source = sourceBlock(type);
  const int part = static_cast<int>(block % (source.columns / kBlockColumns)), column = kSliceColumns * slice + 4 * t;
  const uint8_t* from = row + block * kBlockColumns / source.columns * source.bytes;
  const uint8_t* codes = from + source.codes;
  switch (type) {
    case kGgmlQ8_0:
      return load(codes + column) ^ 0x80808080u;
    case kGgmlQ4_K:
      return load(codes + part / 2 * 32 + column) >> (part % 2 * 4) & 0x0f0f0f0fu;
    case kGgmlQ5_K: {
      const uint32_t low = load(codes + part / 2 * 32 + column) >> (part % 2 * 4) & 0x0f0f0f0fu;
      return low | (load(from + 16 + column) >> part & 0x01010101u) << 4;
    }
    case kGgmlQ6_K: {
      const uint32_t low = load(codes + part / 4 * 64 + part % 2 * 32 + column) >> (part % 4 / 2 * 4) & 0x0f0f0f0fu;
      return low | (load(from + 128 + part / 4 * 32 + column) >> (part % 4 * 2) & 0x03030303u) << 4;
    }
    default:
      break;
  }
  const uint32_t nibbles = load(codes + 4 * t) >> (4 * slice) & 0x0f0f0f0fu;
  if (type == kGgmlIQ4_NL) return iq4Levels(nibbles);
  // The sign of an e4m3 scale becomes its codes'.
  if (type == kBlockNvfp4) return from[slice] & 0x80 ? nibbles ^ 0x08080808u : nibbles;
  if (type != kGgmlQ5_0 && type != kGgmlQ5_1) return nibbles;
  const uint32_t high = load(codes - 4) >> column & 15;
  const uint32_t five = nibbles | (high & 1) << 4 | (high & 2) << 11 | (high & 4) << 18 | (high & 8) << 25;
  // Q5_0 as eight bits: code - 16 = (code + 112) - 128.
  return type == kGgmlQ5_0 ? five + 0x70707070u : five;
}

/// Scale and minimum (6 bits each) of group `part` of a Q4_K block, from its 12 packed bytes.
PW_HOST_DEVICE inline void sourceScaleMin(const uint8_t* b, int part, uint8_t* scale, uint8_t* minimum) {
  const bool low = part < 4;
  *scale = static_cast<uint8_t>(low ? b[part] & 63 : (b[4 + part] & 15) | b[part - 4] >> 6 << 4);
  *minimum = static_cast<uint8_t>(low ? b[4 + part] & 63 : b[4 + part] >> 4 | b[part] >> 6 << 4);
}

/// Writes what row `r` of the strip has in the header of a block and, at the first block of 256 columns, in the super
/// header before it. Rows that do not exist get zeros.
PW_HOST_DEVICE inline void packHeader(uint32_t type, const StripSource& source, int64_t block, int r, uint8_t* header,
                                      uint8_t* superHeader) {
  const bool exists = r < source.rows;
  const SourceBlock sizes = sourceBlock(type);
  const int part = static_cast<int>(block % (sizes.columns / kBlockColumns));
  const uint8_t* from = exists ? source.row(r) + block * kBlockColumns / sizes.columns * sizes.bytes : nullptr;
  const auto copyHalf = [&](uint8_t* to, int offset) {
    to[0] = exists ? from[offset] : uint8_t{0};
    to[1] = exists ? from[offset + 1] : uint8_t{0};
  };
  switch (type) {
    case kGgmlQ4_K:
    case kGgmlQ5_K: {
      uint8_t scale = 0, minimum = 0;
      if (exists) sourceScaleMin(from + 4, part, &scale, &minimum);
      header[kHeaderScale + r] = scale;
      header[kHeaderMinK + r] = minimum;
      if (part > 0) return;
      copyHalf(superHeader + kSuperD + 2 * r, 0);
      copyHalf(superHeader + kSuperDMin + 2 * r, 2);
      return;
    }
    case kGgmlQ6_K:
      for (int slice = 0; slice < 2; ++slice)
        header[headerScaleSlice(slice) + r] =
            exists ? static_cast<uint8_t>(from[192 + 2 * part + slice] + kScaleBias) : uint8_t{0};
      if (part == 0) copyHalf(superHeader + kSuperD + 2 * r, 208);
      return;
    case kGgmlMXFP4:
      header[kHeaderScale + r] = exists ? from[0] : uint8_t{0};
      return;
    case kBlockNvfp4:
      for (int slice = 0; slice < 2; ++slice) {
        const uint8_t magnitude = exists ? from[slice] & 0x7f : uint8_t{0};
        header[headerScaleSlice(slice) + r] = magnitude == 0x7f ? uint8_t{0xff} : magnitude;
      }
      return;
    case kBlockInt4G16:
      for (int slice = 0; slice < 2; ++slice) copyHalf(header + headerHalfSlice(slice) + 2 * r, 2 * slice);
      return;
    default:
      copyHalf(header + kHeaderScale + 2 * r, 0);
      if (type == kGgmlQ4_1 || type == kGgmlQ5_1) copyHalf(header + kHeaderMin + 2 * r, 2);
      if (type == kBlockInt4Zp) header[kHeaderZero + r] = exists ? from[2] : uint8_t{0};
  }
}

/// The codes of a lane's eight rows and eight columns of a block of type kType, into the block's codes (which are
/// 4-byte aligned). Where each code lies is known when this is compiled: the words stay in registers.
template <uint32_t kType>
PW_HOST_DEVICE inline void packCodesOf(const StripSource& source, int64_t block, int lane, uint32_t* codes) {
  constexpr PackedLayout layout = packedLayout(packedFormatOf(kType));
  const int first = lane / 4 * kLaneRows;
  uint32_t words[layout.laneWords()] = {};
  PW_DEVICE_UNROLL
  for (int row = 0; row < kLaneRows; ++row) {
    if (first + row >= source.rows) continue;
    PW_DEVICE_UNROLL
    for (int slice = 0; slice < kBlockColumns / kSliceColumns; ++slice) {
      const uint32_t four = sourceCodes(kType, source.row(first + row), block, slice, lane % 4);
      PW_DEVICE_UNROLL
      for (int e = 0; e < 4; ++e) {
        const CodePosition at = laneCode(layout, {lane, row / 2, slice, e / 2 * 2 + row % 2, e % 2});
        uint32_t code = four >> (8 * e) & 0xff;
        PW_DEVICE_UNROLL
        for (int i = 0; i < CodePosition::kMostParts; ++i) {
          if (i >= at.count) continue;
          const CodeBits& part = at.parts[i];
          words[part.word] |= (code & ((1u << part.width) - 1)) << part.shift;
          code >>= part.width;
        }
      }
    }
  }
  PW_DEVICE_UNROLL
  for (int i = 0; i < layout.laneWords(); ++i) codes[laneWord(layout, lane, i)] = words[i];
}

/// packCodesOf<type>.
PW_HOST_DEVICE inline void packCodes(uint32_t type, const StripSource& source, int64_t block, int lane,
                                     uint8_t* codes) {
  auto* words = reinterpret_cast<uint32_t*>(codes);
  switch (type) {
    case kGgmlQ4_0:
      return packCodesOf<kGgmlQ4_0>(source, block, lane, words);
    case kGgmlQ4_1:
      return packCodesOf<kGgmlQ4_1>(source, block, lane, words);
    case kBlockInt4Zp:
      return packCodesOf<kBlockInt4Zp>(source, block, lane, words);
    case kGgmlQ4_K:
      return packCodesOf<kGgmlQ4_K>(source, block, lane, words);
    case kGgmlQ5_K:
      return packCodesOf<kGgmlQ5_K>(source, block, lane, words);
    case kGgmlQ5_1:
      return packCodesOf<kGgmlQ5_1>(source, block, lane, words);
    case kGgmlQ6_K:
      return packCodesOf<kGgmlQ6_K>(source, block, lane, words);
    case kGgmlMXFP4:
      return packCodesOf<kGgmlMXFP4>(source, block, lane, words);
    case kBlockNvfp4:
      return packCodesOf<kBlockNvfp4>(source, block, lane, words);
    case kBlockInt4G16:
      return packCodesOf<kBlockInt4G16>(source, block, lane, words);
    case kBlockLut4:
      return packCodesOf<kBlockLut4>(source, block, lane, words);
    case kGgmlQ5_0:
      return packCodesOf<kGgmlQ5_0>(source, block, lane, words);
    case kGgmlIQ4_NL:
      return packCodesOf<kGgmlIQ4_NL>(source, block, lane, words);
    case kGgmlQ8_0:
      return packCodesOf<kGgmlQ8_0>(source, block, lane, words);
    default:
      return;
  }
}

}  // namespace pw::gpu
