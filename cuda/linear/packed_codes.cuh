// SPDX-License-Identifier: Apache-2.0
/// @file From packed codes in shared memory to tensor-core operands in registers, and from headers to f32 scales.
///
/// Operands are integers, exact in f16 and in bf16: scales are applied to the f32 sums of a group, so no weight is ever
/// rounded. A code becomes a floating-point number by becoming the low mantissa bits of 1024 (f16) or 128 (bf16), where
/// one unit in the last place is 1; then the bias and the code's offset are subtracted, two codes at a time.
#pragma once
#include "common/dtype.cuh"
#include "common/small_floats.cuh"
#include "pagewarp/gpu/linear_packed.h"

namespace pw::gpu {

/// (a & b) | c
__device__ inline uint32_t andOr(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// (~a & b) | c
__device__ inline uint32_t notAndOr(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xae;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// Bits moved up, or down where `by` is negative: one instruction for a constant, where a shift to each side takes two.
__device__ inline uint32_t moved(uint32_t bits, int by) { return by >= 0 ? bits << by : bits >> -by; }

/// The same 16 bits twice.
PW_HOST_DEVICE constexpr uint32_t twice(uint32_t bits) { return bits << 16 | bits; }

/// Bits of a whole number of magnitude up to 2047 as f16, or up to 255 as bf16.
PW_HOST_DEVICE constexpr uint32_t integerBits(int operand, int value) {
  const uint32_t sign = value < 0 ? 0x8000u : 0u;
  uint32_t magnitude = static_cast<uint32_t>(value < 0 ? -value : value), exponent = 0;
  if (magnitude == 0) return 0;
  while (magnitude >> (exponent + 1)) ++exponent;
  const uint32_t fraction = magnitude - (1u << exponent);
  return operand == PW_F16 ? sign | (exponent + 15) << 10 | fraction << 10 >> exponent
                           : sign | (exponent + 127) << 7 | fraction << 7 >> exponent;
}

/// What a code is ORed into.
PW_HOST_DEVICE constexpr int codeBias(int operand) { return operand == PW_F16 ? 1024 : 128; }
PW_HOST_DEVICE constexpr uint32_t codeBiasBits(int operand) { return twice(integerBits(operand, codeBias(operand))); }

/// a + b or a * b + c of two f16 or bf16 (whose addition sm_80 has only as a multiply-add).
template <int kOperand>
__device__ inline uint32_t addPair(uint32_t a, uint32_t b) {
  uint32_t d;
  if constexpr (kOperand == PW_F16)
    asm("add.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  else
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(twice(integerBits(PW_BF16, 1))), "r"(b));
  return d;
}

template <int kOperand>
__device__ inline uint32_t multiplyAddPair(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  if constexpr (kOperand == PW_F16)
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  else
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// A level as the sum of two f16 or bf16, the larger one in the low half.
template <int kOperand>
__device__ inline uint32_t splitLevel(float level) {
  const uint32_t high = pack2(level, 0.0f, kOperand) & 0xffffu;
  float rounded, zero;
  unpack2<kOperand>(high, rounded, zero);
  return high | pack2(0.0f, level - rounded, kOperand);
}

/// A lane's codes of one block.
/// @tparam kOperand PW_F16 or PW_BF16: what the tensor cores multiply
/// @tparam kBiased leave the bias and the code's offset in: cheaper per weight, and paid back with sums of activations
template <int kFormat, int kOperand, bool kBiased>
class Codes {
 public:
  /// What kBiased operands are too large by.
  static constexpr int kExcess = codeBias(kOperand) + packedLayout(static_cast<pw_matrix_format>(kFormat)).offset;

  /// What a weight is the sum of: a level of a table, which is any number, of two operands.
  static constexpr int kTerms = kFormat == PW_MATRIX_W4T ? 2 : 1;
  using Operand = uint32_t[kTerms][4];

  /// @param levels of the lane's rows (W4T)
  __device__ Codes(const uint8_t* codes, const uint32_t* levels, int lane) : levels_(levels) {
    if constexpr (kLayout.codeBits == 5) {
      const uint2 high = *reinterpret_cast<const uint2*>(codes + 2 * kLanes * kVectorBytes + lane * 8);
      words_[2][0] = high.x, words_[2][1] = high.y;
    }
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const uint4 vector = *reinterpret_cast<const uint4*>(codes + (v * kLanes + lane) * kVectorBytes);
      words_[v][0] = vector.x, words_[v][1] = vector.y, words_[v][2] = vector.z, words_[v][3] = vector.w;
    }
  }

  /// The operand of row tile `tile` for the columns of slice `slice`.
  __device__ void operand(int tile, int slice, Operand& terms) const {
    uint32_t(&a)[4] = terms[0];
    if constexpr (kFormat == PW_MATRIX_W4T)
      lookUp(words_[slice][tile], levels_ + 2 * tile * kLevelStride, terms);
    else if constexpr (kLayout.codeBits == 8)
      eightBits(words_[2 * slice + tile / 2][tile % 2 * 2], words_[2 * slice + tile / 2][tile % 2 * 2 + 1], a);
    else if constexpr (kLayout.codeBits == 6)
      highBits(words_[slice][tile], words_[2][tile], 8 * slice, a);
    else if constexpr (kLayout.codeBits == 5)
      highBits(words_[slice][tile], words_[2][slice], 4 * tile, a);
    else if constexpr (kFormat == PW_MATRIX_W4X || kFormat == PW_MATRIX_W4N)
      floatingPoint(words_[slice][tile], a);
    else
      fourBits(words_[slice][tile], a);
  }

 private:
  static constexpr PackedLayout kLayout = packedLayout(static_cast<pw_matrix_format>(kFormat));
  static constexpr int kVectors = kLayout.codeBytes() / (kLanes * kVectorBytes);
  static constexpr uint32_t kBias = codeBiasBits(kOperand);
  static constexpr uint32_t kMinusExcess = twice(integerBits(kOperand, -kExcess));

  __device__ static uint32_t centre(uint32_t biased) {
    return kBiased ? biased : addPair<kOperand>(biased, kMinusExcess);
  }

  __device__ static void fourBits(uint32_t word, uint32_t (&a)[4]) {
    if constexpr (kOperand == PW_F16 && !kBiased) {
      // Every second nibble stays where it is, 16 times too large, and the subtraction becomes a multiply-add.
      constexpr uint32_t kSixteenth = twice(0x2c00), kRest = twice(integerBits(PW_F16, -64 - kLayout.offset));
#pragma unroll
      for (int pair = 0; pair < 2; ++pair, word >>= 8) {
        a[2 * pair] = centre(andOr(word, 0x000f000fu, kBias));
        a[2 * pair + 1] = multiplyAddPair<PW_F16>(andOr(word, 0x00f000f0u, kBias), kSixteenth, kRest);
      }
    } else {
#pragma unroll
      for (int r = 0; r < 4; ++r) a[r] = centre(andOr(word >> (4 * r), 0x000f000fu, kBias));
    }
  }

  /// A level's word holds both its terms.
  __device__ static void lookUp(uint32_t word, const uint32_t* levels, Operand& terms) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const uint32_t* row = levels + r % 2 * kLevelStride;
      const uint32_t first = row[word >> (4 * r) & 15], second = row[word >> (4 * r + 16) & 15];
      terms[0][r] = __byte_perm(first, second, 0x5410);
      terms[kTerms - 1][r] = __byte_perm(first, second, 0x7632);
    }
  }

  /// Twice the e2m1 number of a code: 0, 1, 2, 3, 4, 6, 8, 12, and a sign.
  __device__ static void floatingPoint(uint32_t word, uint32_t (&a)[4]) {
    const uint32_t first = __byte_perm(0x03020100u, 0x0c080604u, word & 0x7777u);
    const uint32_t second = __byte_perm(0x03020100u, 0x0c080604u, word >> 16 & 0x7777u);
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const uint32_t both = __byte_perm(first, second, 0x4400u + 0x1111u * static_cast<uint32_t>(r));
      a[r] = centre(andOr(both, 0x000f000fu, kBias)) ^ (word << (12 - 4 * r) & 0x80008000u);
    }
  }

  /// Codes of 5 or 6 bits.
  /// @param high their bits above the low four, those of register 0 from bit `at` on
  __device__ static void highBits(uint32_t low, uint32_t high, int at, uint32_t (&a)[4]) {
    constexpr int kWidth = kLayout.codeBits - 4;
    constexpr uint32_t kMask = twice(((1u << kWidth) - 1) << 4);
#pragma unroll
    for (int r = 0; r < 4; ++r)
      a[r] = centre(andOr(moved(high, 4 - at - kWidth * r), kMask, andOr(low >> (4 * r), 0x000f000fu, kBias)));
  }

  __device__ static void eightBits(uint32_t first, uint32_t second, uint32_t (&a)[4]) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const uint32_t word = r < 2 ? first : second, select = r % 2 ? 0x4342 : 0x4140;
      if constexpr (kOperand == PW_F16) {
        a[r] = centre(__byte_perm(word, kBias >> 8, select));
      } else {
        // A bf16 holds seven bits below the leading one: 128 + (low seven bits) - (top bit ? 128 : 256) = code - 128.
        const uint32_t codes = __byte_perm(word, 0, select);
        a[r] = multiplyAddPair<PW_BF16>(notAndOr(codes, 0x00800080u, kBias), twice(integerBits(PW_BF16, -1)),
                                        andOr(codes, 0x007f007fu, kBias));
      }
    }
  }

  const uint32_t* levels_;
  uint32_t words_[kVectors + (kLayout.codeBits == 5 ? 1 : 0)][4];
};

/// A lane's codes of one block as operands of integer products: four bytes of a row's columns in the order of
/// int8Position.
template <int kFormat>
class ByteCodes {
 public:
  __device__ ByteCodes(const uint8_t* codes, int lane) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const uint4 vector = *reinterpret_cast<const uint4*>(codes + (v * kLanes + lane) * kVectorBytes);
      words_[v][0] = vector.x, words_[v][1] = vector.y, words_[v][2] = vector.z, words_[v][3] = vector.w;
    }
  }

  /// The operand of row tile `tile`: both rows of slice 0, both of slice 1.
  __device__ void operand(int tile, uint32_t (&a)[4]) const {
#pragma unroll
    for (int slice = 0; slice < 2; ++slice) {
      if constexpr (kLayout.codeBits == 8) {
        const uint32_t* words = words_[2 * slice + tile / 2] + tile % 2 * 2;
        a[2 * slice] = __byte_perm(words[0], words[1], 0x5140);
        a[2 * slice + 1] = __byte_perm(words[0], words[1], 0x7362);
      } else {
        a[2 * slice] = words_[slice][tile] & 0x0f0f0f0fu;
        a[2 * slice + 1] = words_[slice][tile] >> 4 & 0x0f0f0f0fu;
      }
    }
  }

 private:
  static constexpr PackedLayout kLayout = packedLayout(static_cast<pw_matrix_format>(kFormat));
  static_assert(kLayout.codeBits == 4 || kLayout.codeBits == 8, "codes are nibbles or bytes");
  static constexpr int kVectors = kLayout.codeBytes() / (kLanes * kVectorBytes);
  uint32_t words_[kVectors][4];
};

/// The scales of a lane's eight rows for one block: value = scale * (code - offset) + minimum. They stay packed until a
/// row tile needs its two: registers are scarce.
template <int kFormat>
class Scales {
 public:
  /// Sets of scales per block: Q6_K and NVFP4 have one per slice.
  static constexpr int kSets = kFormat == PW_MATRIX_W6K || kFormat == PW_MATRIX_W4N ? 2 : 1;
  static constexpr bool kSixBits = kFormat == PW_MATRIX_W4K || kFormat == PW_MATRIX_W5K;  // as in Q4_K
  static constexpr bool kHalfMinimum = kFormat == PW_MATRIX_W4M || kFormat == PW_MATRIX_W5M;
  static constexpr bool kMinimum = kSixBits || kHalfMinimum || kFormat == PW_MATRIX_W4Z;

  /// @param row first of the lane's rows in the strip
  __device__ Scales(const uint8_t* header, const uint8_t* superHeader, int row) {
    if constexpr (kSixBits) {
      halves(superHeader + kSuperD + 2 * row, halves_[0]);
      halves(superHeader + kSuperDMin + 2 * row, halves_[1]);
      bytes(header + kHeaderScale + row, bytes_[0]);
      bytes(header + kHeaderMinK + row, bytes_[1]);
    } else if constexpr (kFormat == PW_MATRIX_W6K) {
      halves(superHeader + kSuperD + 2 * row, halves_[0]);
#pragma unroll
      for (int set = 0; set < kSets; ++set) bytes(header + headerScaleSlice(set) + row, bytes_[set]);
    } else if constexpr (kFormat == PW_MATRIX_W4N) {
#pragma unroll
      for (int set = 0; set < kSets; ++set) bytes(header + headerScaleSlice(set) + row, bytes_[set]);
    } else if constexpr (kFormat == PW_MATRIX_W4X) {
      bytes(header + kHeaderScale + row, bytes_[0]);
    } else {
      halves(header + kHeaderScale + 2 * row, halves_[0]);
      if constexpr (kHalfMinimum) halves(header + kHeaderMin + 2 * row, halves_[1]);
      if constexpr (kFormat == PW_MATRIX_W4Z) bytes(header + kHeaderZero + row, bytes_[0]);
    }
  }

  /// Of both rows of tile `tile`.
  __device__ void scale(int tile, int set, float (&x)[2]) const {
    if constexpr (kFormat == PW_MATRIX_W4X || kFormat == PW_MATRIX_W4N) {
      // Halved since the operand is doubled.
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t byte = bytes_[set][tile / 2] >> (tile % 2 * 16 + i * 8) & 0xff;
        x[i] = 0.5f * (kFormat == PW_MATRIX_W4X ? exponentScale(byte) : e4m3ToFloat(byte));
      }
      return;
    }
    unpack2<PW_F16>(halves_[0][tile], x[0], x[1]);
    if constexpr (kSixBits)
      multiply<uint8_t>(bytes_[0], tile, x);
    else if constexpr (kFormat == PW_MATRIX_W6K)
      multiply<int8_t>(bytes_[set], tile, x);
  }

  __device__ void minimum(int tile, float (&x)[2]) const {
    constexpr bool kZero = kFormat == PW_MATRIX_W4Z;
    unpack2<PW_F16>(halves_[kZero ? 0 : 1][tile], x[0], x[1]);
    if constexpr (kHalfMinimum) return;
    multiply<uint8_t>(bytes_[kZero ? 0 : 1], tile, x);
    x[0] = -x[0], x[1] = -x[1];
  }

 private:
  using EightHalves = uint32_t[4];
  using EightBytes = uint32_t[2];

  __device__ static void halves(const uint8_t* from, EightHalves& words) {
    const uint4 vector = *reinterpret_cast<const uint4*>(from);
    words[0] = vector.x, words[1] = vector.y, words[2] = vector.z, words[3] = vector.w;
  }
  __device__ static void bytes(const uint8_t* from, EightBytes& words) {
    const uint2 vector = *reinterpret_cast<const uint2*>(from);
    words[0] = vector.x, words[1] = vector.y;
  }
  template <class Byte>
  __device__ static void multiply(const EightBytes& words, int tile, float (&x)[2]) {
#pragma unroll
    for (int i = 0; i < 2; ++i)
      x[i] *= static_cast<float>(static_cast<Byte>(words[tile / 2] >> (tile % 2 * 16 + i * 8)));
  }

  EightHalves halves_[2];
  EightBytes bytes_[2];
};

}  // namespace pw::gpu
