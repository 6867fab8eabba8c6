// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "core/matrix/block_formats.h"
#include "cpu/linear/activations.h"
#include "cpu/simd/unroll.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

/// Tokens of the widest tile, and the most in a tile of what is left over.
constexpr int kWideTile = 4, kNarrowTile = 3;

constexpr int kByteLanes = 4 * Vec::kLanes;

/// Half a vector of codes: 8 rows x 4 columns, unsigned bytes.
struct Bytes {
  uint8_t lane[kByteLanes];
};
/// One i32 a row.
struct Ints {
  int32_t lane[Vec::kLanes];
};

inline Bytes loadBytes(const uint8_t* p) {
  Bytes b;
  std::memcpy(b.lane, p, sizeof b.lane);
  return b;
}
inline Bytes lowNibbles(Bytes b) {
  for (uint8_t& l : b.lane) l &= 15;
  return b;
}
inline Bytes highNibbles(Bytes b) {
  for (uint8_t& l : b.lane) l >>= 4;
  return b;
}

/// low | (field `i` of `pairs`) << 4.
template <int i>
inline Bytes withHighPair(Bytes low, Bytes pairs) {
  for (int l = 0; l < kByteLanes; ++l)
    low.lane[l] = static_cast<uint8_t>(low.lane[l] | (pairs.lane[l] >> (2 * i) & 3) << 4);
  return low;
}

/// low | (bit `i` of `bits`) << 4.
template <int i>
inline Bytes withHighBit(Bytes low, Bytes bits) {
  for (int l = 0; l < kByteLanes; ++l) low.lane[l] = static_cast<uint8_t>(low.lane[l] | (bits.lane[l] >> i & 1) << 4);
  return low;
}

/// 16 bytes, by which nibbles are replaced.
struct OneTable {
  const uint8_t* bytes;
};
inline OneTable loadTable(const uint8_t* p) { return {p}; }
inline Bytes lookUp(Bytes nibbles, OneTable table) {
  for (uint8_t& l : nibbles.lane) l = table.bytes[l];
  return nibbles;
}

/// A table for each row.
struct RowTables {
  const uint8_t* bytes;
};
inline RowTables loadRowTables(const uint8_t* p) { return {p}; }
inline Bytes lookUp(Bytes nibbles, RowTables tables) {
  for (int l = 0; l < kByteLanes; ++l) nibbles.lane[l] = tables.bytes[16 * (l / 4) + nibbles.lane[l]];
  return nibbles;
}

constexpr int kSideBySide = 1;

/// out[t] = start + the sum of code * x over columns [16 * half, 16 * half + 4 * kCount) of the group, for kTokens
/// records; exact. `codes` are the group's vectors from column 16 * half on.
template <int kMaxCode, int kCount, int kTokens>
PW_NO_INLINE void dots(const Bytes* codes, const Activations* x, int half, Ints* out) {
  for (int t = 0; t < kTokens; ++t) {
    for (int32_t& l : out[t].lane) l = x[t].start[half];
    const int8_t* columns = x[t].codes + 16 * half;
    for (int i = 0; i < kCount; ++i)
      for (int r = 0; r < Vec::kLanes; ++r)
        for (int j = 0; j < 4; ++j)
          out[t].lane[r] += static_cast<int32_t>(codes[i].lane[4 * r + j]) * columns[4 * i + j];
  }
}

inline void prefetch(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#else
  static_cast<void>(p);
#endif
}

inline Vec toVec(Ints a) {
  Vec v;
  for (int i = 0; i < Vec::kLanes; ++i) v.lane[i] = static_cast<float>(a.lane[i]);
  return v;
}
inline Vec loadU8(const uint8_t* p) {
  Vec v;
  for (int i = 0; i < Vec::kLanes; ++i) v.lane[i] = static_cast<float>(p[i]);
  return v;
}
/// 2^(e - 127) for bytes e.
inline Vec loadExponents(const uint8_t* p) {
  Vec v;
  for (int i = 0; i < Vec::kLanes; ++i) v.lane[i] = exponentScale(p[i]);
  return v;
}
/// 8-bit floats of type E4M3.
inline Vec loadE4m3(const uint8_t* p) {
  Vec v;
  for (int i = 0; i < Vec::kLanes; ++i) v.lane[i] = fromE4m3(p[i]);
  return v;
}
inline Vec loadI8(const uint8_t* p) {
  Vec v;
  for (int i = 0; i < Vec::kLanes; ++i) v.lane[i] = static_cast<float>(static_cast<int8_t>(p[i]));
  return v;
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
