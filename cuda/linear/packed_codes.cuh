// SPDX-License-Identifier: Apache-2.0
/// @file From packed codes in shared memory to tensor-core operands in registers, and from headers to f32 scales.
///
/// Operands are integers or e2m1 numbers, exact in f16 and in bf16, or the two terms of a level: scales are applied to
/// the f32 sums of a group, so no weight is ever rounded. How a code becomes a floating-point number:
///
/// - As a subnormal f16, of which it is the mantissa: one mask makes two of them. They are whole numbers of a unit that
///   is the same for a row, which the sums are multiplied by at last. What codes are too large by, sums of activations
///   make up for; formats with minima need these anyway.
/// - As mantissa bits of 1024 (f16) or 128 (bf16), where one unit in the last place is 1; then the bias and the code's
///   offset are subtracted, two codes at a time. This needs no sums of activations.
/// - An e2m1 number becomes exponent and mantissa bits of an f16, whose exponents' other bias is one more unit of sums;
///   bf16 has more exponents than sums can hold, and is mended by a multiplication.
///
/// So an operand of two codes takes at least a mask. Words do not divide into fields that all lie where a mask
/// suffices: f16 has ten mantissa bits, a word 16 for each half. To the masks come, for the 64 weights of a lane,
/// shifts: 8 of four-bit codes, 14 of five-bit ones and 8 masks for what lies in several places, 20 and 8 of six-bit
/// codes, of which no view of a word shows two; 24 shifts or reversals for e2m1 numbers: 40, 54, 60 and 56 instructions
/// of integers. The 8 of four-bit formats without minimum are joined by 32 additions or multiply-adds of halves. Pairs
/// of levels are looked up: address and byte, 2 for 2 weights.
///
/// A bf16 has seven mantissa bits, so that only the lowest place suits a mask: up to 16 shifts more. Sums of
/// activations pay for its bias, as far as a tile has few tokens or a format minima. Two codes of eight bits take two
/// masks more, for the bit that has no room, and two e2m1 numbers a shift and a mask, for exponents that lie elsewhere.
///
/// Tables of rows are looked up code by code: a mask leaves one of the two codes of each byte of a word, and an integer
/// dot product with a constant multiplies one byte by a level's size and adds the table's address, 5 for 4 weights.
/// A table of pairs of a row's own levels is 1 KiB; 128 rows of them, with a copy for each lane that reads at the same
/// time, have no room. Permutations of bytes in registers give 4 bytes of 8 table entries each: a row's 16 levels in
/// f16 are 8 registers and take, for 4 weights, 4 permutations, 2 choices between halves of a table and 2 permutations
/// that put bytes together, 2 and more a weight with the selectors, for half of the digits that two terms have. So each
/// weight has a look of its own, whose address is a register that an instruction makes. With masks, 8 instructions for
/// equal activations next to each other and 5 for addresses of a block, these are 1.45 a weight. Only masks could be
/// fewer: a byte 16 b + a without one, times the distance of levels, added to the address of level a in a table that
/// runs backwards, is that of level b in one whose levels are 16 times as far apart. The 1.33 that are left would take
/// two tables of each row, which do not fit beside four stages.
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

/// Two f32 of two f16.
__device__ inline void halvesToFloats(uint32_t halves, float& low, float& high) {
  asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %2;\ncvt.f32.f16 %0, low;\ncvt.f32.f16 %1, high;\n}"
      : "=f"(low), "=f"(high)
      : "r"(halves));
}

/// a * b + c
__device__ inline uint32_t multiplyAdd(uint32_t a, int b, uint32_t c) {
  uint32_t d;
  asm("mad.lo.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// Reads of tables of levels. They may not move across barriers, and stay where they are by being volatile.
template <int kOffset>
__device__ inline uint32_t loadShared(uint32_t address) {
  uint32_t word;
  asm volatile("ld.shared.b32 %0, [%1 + %2];" : "=r"(word) : "r"(address), "n"(kOffset));
  return word;
}
__device__ inline void loadShared(uint32_t address, uint32_t& first, uint32_t& second) {
  asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(first), "=r"(second) : "r"(address));
}

/// A lane's codes of one block of tile T.
template <class T>
class Codes {
 public:
  static constexpr int kFormat = T::kFormat, kOperand = T::kOperand;
  /// What operands are too large by, which sums of activations pay back.
  static constexpr int kExcess =
      (T::kBiased ? codeBias(kOperand) : 0) + (T::kBiased || T::kSubnormal ? T::kLayout.offset : 0);

  /// Operands for four columns: a level of a table, which is any number, is the sum of two.
  static constexpr int kTerms = kFormat == PW_MATRIX_W4T ? 2 : 1;
  using Operand = uint32_t[kTerms][4];

  /// @param codes the lane's first vector
  /// @param tail what the lane has beyond vectors
  /// @param levels of the lane: an address in shared memory
  __device__ Codes(const uint8_t* codes, const uint8_t* tail, uint32_t levels) : levels_(levels) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const uint4 vector = *reinterpret_cast<const uint4*>(codes + v * kLanes * kVectorBytes);
      words_[4 * v] = vector.x, words_[4 * v + 1] = vector.y, words_[4 * v + 2] = vector.z;
      words_[4 * v + 3] = vector.w;
    }
    if constexpr (kLayout.codeBits == 5) {
      const uint2 rest = *reinterpret_cast<const uint2*>(tail);
      words_[8] = rest.x, words_[9] = rest.y;
    }
  }

  /// The operand of row tile `tile` for the columns of slice `slice`.
  __device__ void operand(int tile, int slice, Operand& terms) const {
    uint32_t(&a)[4] = terms[0];
    const int word = 4 * slice + tile;
    if constexpr (kFormat == PW_MATRIX_W4T) {
      lookUp(words_[word], tile, terms);
    } else if constexpr (kLayout.order == CodeOrder::Floats) {
      floatingPoint(words_[word], a);
    } else if constexpr (kLayout.codeBits == 8) {
      eightBits(words_[8 * slice + 2 * tile], words_[8 * slice + 2 * tile + 1], a);
    } else {
#pragma unroll
      for (int r = 0; r < 4; ++r) a[r] = field(tile, slice, r);
    }
  }

  /// What sums of the tile's row g (0) or g + 8 (1) are multiplied by at last.
  PW_HOST_DEVICE static constexpr float unit(int row) {
    if (T::kSubnormal) return static_cast<float>(1 << (24 - position(row)));
    return kLayout.order == CodeOrder::Floats && kOperand == PW_F16 ? 0x1p14f : 1.0f;
  }

  /// The whole number `value` as an operand of register r has it, twice.
  PW_HOST_DEVICE static constexpr uint32_t constant(int value, int r) {
    if (!T::kSubnormal) return twice(integerBits(kOperand, value));
    return twice(value < 0 ? 0x8000u | static_cast<uint32_t>(-value) << position(r)
                           : static_cast<uint32_t>(value) << position(r));
  }

 private:
  static constexpr PackedLayout kLayout = T::kLayout;
  static constexpr int kVectors = kLayout.laneVectors();
  static constexpr uint32_t kBias = codeBiasBits(kOperand);

  /// The lowest bit of the codes of register r in both halves of an operand.
  PW_HOST_DEVICE static constexpr int position(int r) {
    if (kOperand != PW_F16) return 0;
    return kLayout.codeBits == 6 ? 4 - r % 2 * 4 : r % 2 * kLayout.codeBits;
  }

  /// Subtracts bias and offset from codes at their position, 2^position times too large.
  template <int kPosition>
  __device__ static uint32_t centre(uint32_t biased) {
    constexpr uint32_t kRest = twice(integerBits(kOperand, -(codeBias(kOperand) >> kPosition) - kLayout.offset));
    if constexpr (kPosition == 0)
      return addPair<kOperand>(biased, kRest);
    else
      return multiplyAddPair<PW_F16>(biased, twice(static_cast<uint32_t>(15 - kPosition) << 10), kRest);
  }

  /// Both codes of register r.
  __device__ uint32_t field(int tile, int slice, int r) const {
    constexpr PackedLayout layout = kLayout;
    const CodePosition code = laneCode(layout, {0, tile, slice, r, 0});
    uint32_t bits = T::kSubnormal ? 0 : kBias;
    int low = position(r);
#pragma unroll
    for (int i = 0; i < code.count; ++i) {
      const CodeBits& part = code.parts[i];
      bits = andOr(moved(words_[part.word], low - part.shift), twice((1u << part.width) - 1) << low, bits);
      low += part.width;
    }
    if constexpr (T::kBiased || T::kSubnormal)
      return bits;
    else
      return position(r) == 0 ? centre<0>(bits) : centre < kOperand == PW_F16 ? 4 : 0 > (bits);
  }

  /// Pairs of levels, both terms of each, from the table of all pairs.
  __device__ void lookUpPairs(uint32_t word, Operand& terms) const {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const uint32_t both = __byte_perm(word, 0, 0x4440u + static_cast<uint32_t>(r));
      loadShared(multiplyAdd(both, 8 * T::kTableCopies, levels_), terms[0][r], terms[kTerms - 1][r]);
    }
  }

  /// Levels of the rows' own tables, one by one, with both terms in one operand: of columns 0 (r < 2) and 1 in the
  /// first, 2 and 3 in the second. Byte 2 pair + row of a word has the codes of a pair's columns.
  template <int kTile>
  __device__ void lookUpLevels(uint32_t word, Operand& terms) const {
    constexpr int kLevelBytes = rowLevelBytes(T::kShape), kTableBytes = rowTableBytes(T::kShape);
    constexpr int kEven = 2 * kTile * kTableBytes, kOdd = kEven + kTableBytes;
    static_assert(kLevelBytes < 256, "a factor is a byte");
    const uint32_t low = word & 0x0f0f0f0fu, high = word & 0xf0f0f0f0u;
#pragma unroll
    for (int pair = 0; pair < 2; ++pair)
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const uint32_t factor = static_cast<uint32_t>(r < 2 ? kLevelBytes : kLevelBytes / 16)
                                << (16 * pair + r % 2 * 8);
        const uint32_t level = __dp4a(r < 2 ? low : high, factor, levels_);
        terms[pair][r] = r % 2 == 0 ? loadShared<kEven>(level) : loadShared<kOdd>(level);
      }
  }

  /// A table's offset is a constant of the instruction, and constants are arguments of templates.
  __device__ void lookUp(uint32_t word, int tile, Operand& terms) const {
    if constexpr (!T::kRowTables)
      lookUpPairs(word, terms);
    else if (tile == 0)
      lookUpLevels<0>(word, terms);
    else if (tile == 1)
      lookUpLevels<1>(word, terms);
    else if (tile == 2)
      lookUpLevels<2>(word, terms);
    else
      lookUpLevels<3>(word, terms);
  }

  /// e2m1 numbers: their bits stand where f16 has them, or three bits above where bf16 has them, but for its sign.
  __device__ static void floatingPoint(uint32_t word, uint32_t (&a)[4]) {
    constexpr uint32_t kSign = 0x80008000u, kMagnitude = 0x0e000e00u, kMinusZero = kSign;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      uint32_t bits = r < 2 ? word : __brev(word);
      if (r % 2) bits <<= 8;
      if constexpr (kOperand == PW_F16)
        a[r] = bits & (kSign | kMagnitude);
      else
        a[r] = multiplyAddPair<PW_BF16>(andOr(bits, kSign, (bits & kMagnitude) >> 3), twice((127u + 126) << 7),
                                        kMinusZero);
    }
  }

  __device__ static void eightBits(uint32_t first, uint32_t second, uint32_t (&a)[4]) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const uint32_t word = r < 2 ? first : second, select = r % 2 ? 0x4342 : 0x4140;
      if constexpr (kOperand == PW_F16) {
        a[r] = centre<0>(__byte_perm(word, kBias >> 8, select));
      } else {
        // A bf16 holds seven bits below the leading one: 128 + (low seven bits) - (top bit ? 128 : 256) = code - 128.
        const uint32_t codes = __byte_perm(word, 0, select);
        a[r] = multiplyAddPair<PW_BF16>(notAndOr(codes, 0x00800080u, kBias), twice(integerBits(PW_BF16, -1)),
                                        andOr(codes, 0x007f007fu, kBias));
      }
    }
  }

  uint32_t levels_;
  uint32_t words_[kLayout.laneWords()];
};

/// A lane's codes of one block as operands of integer products: four bytes of a row's columns in the order of
/// int8Position.
template <int kFormat>
class ByteCodes {
 public:
  /// @param codes the lane's first vector
  __device__ explicit ByteCodes(const uint8_t* codes) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const uint4 vector = *reinterpret_cast<const uint4*>(codes + v * kLanes * kVectorBytes);
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
  static constexpr int kVectors = kLayout.laneVectors();
  uint32_t words_[kVectors][4];
};

/// The scales of a lane's eight rows for one block: value = scale * (code - offset) + minimum. They stay packed until a
/// row tile needs its two: registers are scarce.
template <int kFormat>
class Scales {
 public:
  /// Sets of scales per block: Q6_K, NVFP4 and groups of 16 have one per slice.
  static constexpr int kSets = kFormat == PW_MATRIX_W6K || kFormat == PW_MATRIX_W4N || kFormat == PW_MATRIX_W4S ? 2 : 1;
  static constexpr bool kSixBits = kFormat == PW_MATRIX_W4K || kFormat == PW_MATRIX_W5K;  // as in Q4_K
  static constexpr bool kHalfMinimum = kFormat == PW_MATRIX_W4M || kFormat == PW_MATRIX_W5M;
  static constexpr bool kMinimum = kSixBits || kHalfMinimum || kFormat == PW_MATRIX_W4Z;

  /// What sums are multiplied by at last.
  static constexpr float kUnit = kFormat == PW_MATRIX_W4N ? 0x1p8f : 1.0f;

  /// Which of the two headers has the f16 numbers, and where in its header that of the first row lies; those of bytes
  /// are in the block's own.
  static constexpr bool kSuperHalves = kSixBits || kFormat == PW_MATRIX_W6K;
  static constexpr bool kHalves = kSuperHalves || !(kFormat == PW_MATRIX_W4X || kFormat == PW_MATRIX_W4N);
  static constexpr bool kBytes = !kHalves || kSuperHalves || kFormat == PW_MATRIX_W4Z;

  /// @param halves what the header with f16 numbers has of the lane's first row
  /// @param bytes what the block's header has of it from byte to byte
  __device__ Scales(const uint8_t* halves, const uint8_t* bytes) {
    if constexpr (kHalves) loadHalves(halves, halves_[0]);
    if constexpr (kSixBits) loadHalves(halves + kSuperDMin, halves_[1]);
    if constexpr (kHalfMinimum) loadHalves(halves + kHeaderMin, halves_[1]);
    if constexpr (kBytes) loadBytes(bytes + (kFormat == PW_MATRIX_W4Z ? kHeaderZero : kHeaderScale), bytes_[0]);
    if constexpr (kSixBits) loadBytes(bytes + kHeaderMinK, bytes_[1]);
    if constexpr (kFormat == PW_MATRIX_W4S) loadHalves(halves + headerHalfSlice(1), halves_[1]);
    if constexpr (kBytes && kSets == 2) loadBytes(bytes + headerScaleSlice(1), bytes_[1]);
  }

  /// Of both rows of tile `tile`.
  __device__ void scale(int tile, int set, float (&x)[2]) const {
    if constexpr (kFormat == PW_MATRIX_W4X) {
      // 2^-127 has no exponent bits: the least number of all.
      constexpr int kTop = 30 - 7;
#pragma unroll
      for (int i = 0; i < 2; ++i)
        x[i] =
            fmaxf(__uint_as_float(moved(bytes_[0][tile / 2], kTop - tile % 2 * 16 - i * 8) & 0x7f800000u), 0x1p-127f);
    } else if constexpr (kFormat == PW_MATRIX_W4N) {
      // e4m3's exponent and mantissa where f16 has them, kUnit times too small.
      halvesToFloats(__byte_perm(bytes_[set][tile / 2], 0, tile % 2 ? 0x3424 : 0x1404) >> 1, x[0], x[1]);
    } else {
      halvesToFloats(halves_[kFormat == PW_MATRIX_W4S ? set : 0][tile], x[0], x[1]);
      if constexpr (kSixBits) multiply<0>(bytes_[0], tile, x);
      if constexpr (kFormat == PW_MATRIX_W6K) multiply<kScaleBias>(bytes_[set], tile, x);
    }
  }

  __device__ void minimum(int tile, float (&x)[2]) const {
    constexpr bool kZero = kFormat == PW_MATRIX_W4Z;
    halvesToFloats(halves_[kZero ? 0 : 1][tile], x[0], x[1]);
    if constexpr (kHalfMinimum) return;
    multiply<0>(bytes_[kZero ? 0 : 1], tile, x);
    x[0] = -x[0], x[1] = -x[1];
  }

 private:
  using EightHalves = uint32_t[4];
  using EightBytes = uint32_t[2];

  __device__ static void loadHalves(const uint8_t* from, EightHalves& words) {
    const uint4 vector = *reinterpret_cast<const uint4*>(from);
    words[0] = vector.x, words[1] = vector.y, words[2] = vector.z, words[3] = vector.w;
  }
  __device__ static void loadBytes(const uint8_t* from, EightBytes& words) {
    const uint2 vector = *reinterpret_cast<const uint2*>(from);
    words[0] = vector.x, words[1] = vector.y;
  }
  /// By bytes, which become mantissa bits of 1024, less kBias.
  template <int kBias>
  __device__ static void multiply(const EightBytes& words, int tile, float (&x)[2]) {
    float factor[2];
    halvesToFloats(__byte_perm(words[tile / 2], 0x64, tile % 2 ? 0x4342 : 0x4140), factor[0], factor[1]);
#pragma unroll
    for (int i = 0; i < 2; ++i) x[i] *= factor[i] - (1024.0f + kBias);
  }

  EightHalves halves_[2];
  EightBytes bytes_[2];
};

/// What the sums of a tile's rows g (0) and g + 8 (1) are multiplied by at last.
template <class T>
PW_HOST_DEVICE constexpr float sumUnit(int row) {
  return (T::kIntegers ? 1.0f : Codes<T>::unit(row)) * Scales<T::kFormat>::kUnit;
}

}  // namespace pw::gpu
