// SPDX-License-Identifier: Apache-2.0
/// @file How each packed format hands a group of 32 columns x Vec::kLanes rows to the kernel. `row` is the first of the
/// rows within the strip (0, or 8 where a register holds half a strip).
#pragma once
#include "pagewarp/matrix_layout.h"

namespace pw::cpu::PW_ISA {
namespace {

/// The eight vectors of a group: vector i has columns 4i to 4i + 3.
struct Codes {
  Bytes v[8];
};

inline void unpackNibbles(const uint8_t* group, int row, Codes* codes) {
  for (int i = 0; i < 4; ++i) {
    const Bytes both = loadBytes(group + i * kVectorBytes + 4 * row);
    codes->v[i] = lowNibbles(both);
    codes->v[4 + i] = highNibbles(both);
  }
}

inline Vec loadHalves(const uint8_t* p) { return loadF16(reinterpret_cast<const uint16_t*>(p)); }

struct NibbleFormat {
  static constexpr int kMaxCode = 15;
  static constexpr bool kHasMin = false;      // value = scale * code + minimum
  static constexpr bool kHalfGroups = false;  // 16 columns share a scale
  static void codes(const uint8_t* group, int row, Codes* out) { unpackNibbles(group, row, out); }
};

struct W4 : NibbleFormat {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4);
  static Vec scale(const uint8_t* block, int group, int row) {
    return loadHalves(block + headerScale(group) + 2 * row);
  }
};

struct W4M : NibbleFormat {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4M);
  static constexpr bool kHasMin = true;
  static Vec scale(const uint8_t* block, int group, int row) {
    return loadHalves(block + headerScale(group) + 2 * row);
  }
  static Vec minimum(const uint8_t* block, int group, int row) {
    return loadHalves(block + headerMin(group) + 2 * row);
  }
};

struct W4K : NibbleFormat {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W4K);
  static constexpr bool kHasMin = true;
  static Vec scale(const uint8_t* block, int group, int row) {
    return loadHalves(block + kHeaderD + 2 * row) * loadU8(block + headerScaleK(group) + row);
  }
  static Vec minimum(const uint8_t* block, int group, int row) {
    return Vec(0.0f) - loadHalves(block + kHeaderDMin + 2 * row) * loadU8(block + headerMinK(group) + row);
  }
};

struct W8 {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W8);
  static constexpr int kMaxCode = 255;
  static constexpr bool kHasMin = false;
  static constexpr bool kHalfGroups = false;
  static void codes(const uint8_t* group, int row, Codes* out) {
    for (int i = 0; i < 8; ++i) out->v[i] = loadBytes(group + i * kVectorBytes + 4 * row);
  }
  static Vec scale(const uint8_t* block, int group, int row) {
    return loadHalves(block + headerScale(group) + 2 * row);
  }
};

struct W6K {
  static constexpr PackedLayout kLayout = packedLayout(PW_MATRIX_W6K);
  static constexpr int kMaxCode = 63;
  static constexpr bool kHasMin = false;
  static constexpr bool kHalfGroups = true;
  static void codes(const uint8_t* group, int row, Codes* out) {
    unpackNibbles(group, row, out);
    for (int plane = 0; plane < 2; ++plane) {
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
