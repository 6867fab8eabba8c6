// SPDX-License-Identifier: Apache-2.0
/// @file How each packed format hands a group of 32 columns x Vec::kLanes rows to the kernel. `row` is the first of the
/// rows within the strip (0, or 8 where a register holds half a strip).
#pragma once
#include <type_traits>

#include "cpu/simd/unroll.h"
#include "pagewarp/matrix_layout.h"

namespace pw::cpu::PW_ISA {
namespace {

/// The eight vectors of a group: vector i has columns 4i to 4i + 3.
struct Codes {
  Bytes v[8];
};

inline void unpackNibbles(const uint8_t* group, int row, Codes* codes) {
  PW_IN_REGISTERS for (int i = 0; i < 4; ++i) {
    const Bytes both = loadBytes(group + i * kVectorBytes + 4 * row);
    codes->v[i] = lowNibbles(both);
    codes->v[4 + i] = highNibbles(both);
  }
}

inline void addHighBits(const uint8_t* group, int row, Codes* codes) {
  const Bytes bits = loadBytes(group + 4 * kVectorBytes + 4 * row);
  Bytes* v = codes->v;
  v[0] = withHighBit<0>(v[0], bits);
  v[1] = withHighBit<1>(v[1], bits);
  v[2] = withHighBit<2>(v[2], bits);
  v[3] = withHighBit<3>(v[3], bits);
  v[4] = withHighBit<4>(v[4], bits);
  v[5] = withHighBit<5>(v[5], bits);
  v[6] = withHighBit<6>(v[6], bits);
  v[7] = withHighBit<7>(v[7], bits);
}

inline Vec loadHalves(const uint8_t* p) { return loadF16(reinterpret_cast<const uint16_t*>(p)); }

/// For formats whose codes are numbers already.
struct NoLevels {
  static NoLevels at(const pw_matrix&, int64_t, int) { return {}; }
};

struct NibbleFormat {
  static constexpr int kMaxCode = 15;
  static constexpr bool kHasMin = false;      // value = scale * code + minimum
  static constexpr bool kHalfGroups = false;  // 16 columns share a scale
  using Levels = NoLevels;
  static void codes(const uint8_t* group, int row, const Levels&, Codes* out) { unpackNibbles(group, row, out); }
};

struct FiveBitFormat : NibbleFormat {
  static constexpr int kMaxCode = 31;
  static void codes(const uint8_t* group, int row, const Levels&, Codes* out) {
    unpackNibbles(group, row, out);
    addHighBits(group, row, out);
  }
};

/// One f16 scale per 32 columns.
template <class Base, pw_matrix_format kFormat>
struct Scaled : Base {
  static constexpr PackedLayout kLayout = packedLayout(kFormat);
  static constexpr int kOffset = kLayout.offset;
  static Vec scale(const uint8_t* block, int group, int row) {
    return loadHalves(block + headerScale(group) + 2 * row);
  }
};
using W4 = Scaled<NibbleFormat, PW_MATRIX_W4>;
using W5 = Scaled<FiveBitFormat, PW_MATRIX_W5>;

/// And an f16 minimum.
template <class Base, pw_matrix_format kFormat>
struct WithMinimum : Scaled<Base, kFormat> {
  static constexpr bool kHasMin = true;
  static Vec minimum(const uint8_t* block, int group, int row) {
    return loadHalves(block + headerMin(group) + 2 * row);
  }
};
using W4M = WithMinimum<NibbleFormat, PW_MATRIX_W4M>;
using W5M = WithMinimum<FiveBitFormat, PW_MATRIX_W5M>;

/// And an integer zero point.
struct W4Z : Scaled<NibbleFormat, PW_MATRIX_W4Z> {
  static constexpr bool kHasMin = true;
  static Vec minimum(const uint8_t* block, int group, int row) {
    return Vec(0.0f) - scale(block, group, row) * loadU8(block + headerZero(group) + row);
  }
};

/// 6-bit scales and minima under f16 ones.
template <class Base, pw_matrix_format kFormat>
struct Deep : Base {
  static constexpr PackedLayout kLayout = packedLayout(kFormat);
  static constexpr int kOffset = kLayout.offset;
  static constexpr bool kHasMin = true;
  static Vec scale(const uint8_t* block, int group, int row) {
    return loadHalves(block + kHeaderD + 2 * row) * loadU8(block + headerScaleK(group) + row);
  }
  static Vec minimum(const uint8_t* block, int group, int row) {
    return Vec(0.0f) - loadHalves(block + kHeaderDMin + 2 * row) * loadU8(block + headerMinK(group) + row);
  }
};
using W4K = Deep<NibbleFormat, PW_MATRIX_W4K>;
using W5K = Deep<FiveBitFormat, PW_MATRIX_W5K>;

/// One f16 scale per 16 columns.
struct W4S : NibbleFormat {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4S);
  static constexpr int kOffset = kLayout.offset;
  static constexpr bool kHalfGroups = true;
  static Vec scale(const uint8_t* block, int half, int row) { return loadHalves(block + headerScaleS(half) + 2 * row); }
};

/// Codes that a table of bytes gives for the nibbles.
template <class Tables>
inline void lookUpNibbles(const uint8_t* group, int row, const Tables& tables, Codes* codes) {
  unpackNibbles(group, row, codes);
  PW_IN_REGISTERS for (int i = 0; i < 8; ++i) codes->v[i] = lookUp(codes->v[i], tables);
}

/// A W4T matrix's tables for the rows of a register: one for all of them, or one each.
template <class Tables>
struct TableLevels {
  Tables tables;
  Vec unit;
  static TableLevels at(const pw_matrix& m, int64_t strip, int row) {
    if constexpr (std::is_same_v<Tables, OneTable>)
      return {loadTable(levelCodes(m)), Vec(levelUnits(m)[0])};
    else
      return {loadRowTables(levelCodes(m) + (strip * kStripRows + row) * kLevels),
              loadF32(levelUnits(m) + strip * kStripRows + row)};
  }
};

template <class Tables>
struct W4T {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4T);
  static constexpr int kOffset = kLevelCodeOffset;
  static constexpr int kMaxCode = 255;
  static constexpr bool kHasMin = false;
  static constexpr bool kHalfGroups = false;
  using Levels = TableLevels<Tables>;
  static void codes(const uint8_t* group, int row, const Levels& levels, Codes* out) {
    lookUpNibbles(group, row, levels.tables, out);
  }
  static Vec scale(const uint8_t* block, int group, int row) {
    return loadHalves(block + headerScale(group) + 2 * row);
  }
};

/// MXFP4: the table of e2m1 in halves.
struct Fp4Levels {
  OneTable tables;
  Vec unit;
  static Fp4Levels at(const pw_matrix&, int64_t, int) { return {loadTable(kFp4Codes), Vec(0.5f)}; }
};

struct W4X {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4X);
  static constexpr int kOffset = kFp4CodeOffset;
  static constexpr int kMaxCode = 2 * kFp4CodeOffset;
  static constexpr bool kHasMin = false;
  static constexpr bool kHalfGroups = false;
  using Levels = Fp4Levels;
  static void codes(const uint8_t* group, int row, const Levels& levels, Codes* out) {
    lookUpNibbles(group, row, levels.tables, out);
  }
  static Vec scale(const uint8_t* block, int group, int row) {
    return loadExponents(block + headerExponent(group) + row);
  }
};

/// NVFP4: the same, times the factor of the matrix or of each row.
struct FactorLevels {
  OneTable tables;
  Vec unit;
  static FactorLevels at(const pw_matrix& m, int64_t strip, int row) {
    const Vec factor = m.level_tables == 1 ? Vec(m.levels[0]) : loadF32(m.levels + strip * kStripRows + row);
    return {loadTable(kFp4Codes), factor * Vec(0.5f)};
  }
};

struct W4N {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4N);
  static constexpr int kOffset = kFp4CodeOffset;
  static constexpr int kMaxCode = 2 * kFp4CodeOffset;
  static constexpr bool kHasMin = false;
  static constexpr bool kHalfGroups = true;
  using Levels = FactorLevels;
  static void codes(const uint8_t* group, int row, const Levels& levels, Codes* out) {
    lookUpNibbles(group, row, levels.tables, out);
  }
  static Vec scale(const uint8_t* block, int half, int row) { return loadE4m3(block + headerScaleN(half) + row); }
};

struct W8 {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W8);
  static constexpr int kOffset = kLayout.offset;
  using Levels = NoLevels;
  static constexpr int kMaxCode = 255;
  static constexpr bool kHasMin = false;
  static constexpr bool kHalfGroups = false;
  static void codes(const uint8_t* group, int row, const Levels&, Codes* out) {
    PW_IN_REGISTERS for (int i = 0; i < 8; ++i) out->v[i] = loadBytes(group + i * kVectorBytes + 4 * row);
  }
  static Vec scale(const uint8_t* block, int group, int row) {
    return loadHalves(block + headerScale(group) + 2 * row);
  }
};

struct W6K {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W6K);
  static constexpr int kOffset = kLayout.offset;
  using Levels = NoLevels;
  static constexpr int kMaxCode = 63;
  static constexpr bool kHasMin = false;
  static constexpr bool kHalfGroups = true;
  static void codes(const uint8_t* group, int row, const Levels&, Codes* out) {
    unpackNibbles(group, row, out);
    PW_IN_REGISTERS for (int plane = 0; plane < 2; ++plane) {
      const Bytes pairs = loadBytes(group + (4 + plane) * kVectorBytes + 4 * row);
      Bytes* v = out->v + 4 * plane;
      v[0] = withHighPair<0>(v[0], pairs);
      v[1] = withHighPair<1>(v[1], pairs);
      v[2] = withHighPair<2>(v[2], pairs);
      v[3] = withHighPair<3>(v[3], pairs);
    }
  }
  static Vec scale(const uint8_t* block, int half, int row) {
    return loadHalves(block + kHeaderD + 2 * row) * loadI8(block + headerScale6(half) + row);
  }
};

}  // namespace
}  // namespace pw::cpu::PW_ISA
