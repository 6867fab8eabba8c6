// SPDX-License-Identifier: Apache-2.0
/// @file Bit layouts of the quantised blocks that packers read. All little endian, no padding.
///
/// GGUF's, as its public definition gives them:
/// Q4_0 (32 columns, 18 bytes): f16 d; 16 bytes, byte i = code i | code (16 + i) << 4. Value d * (code - 8).
/// Q4_1 (32, 20): f16 d, f16 m; codes as Q4_0. Value d * code + m.
/// Q8_0 (32, 34): f16 d; 32 int8 codes. Value d * code.
/// Q4_K (256, 144): f16 d, f16 dmin; 12 bytes of 6-bit (s, m) pairs for 8 groups of 32; 128 bytes, byte 32p + i =
///   code (64p + i) | code (64p + 32 + i) << 4. Value (d * s) * code - (dmin * m).
///   Of the 12 bytes b: group j < 4 has s = b[j] & 63, m = b[4 + j] & 63; group j >= 4 has s = b[4 + j] & 15 | b[j - 4]
///   >> 6 << 4, m = b[4 + j] >> 4 | b[j] >> 6 << 4.
/// Q5_0 (32, 22): f16 d; u32 of high bits, bit i that of column i; low four bits as Q4_0. Value d * (code - 16).
/// Q5_1 (32, 24): f16 d, f16 m; codes as Q5_0. Value d * code + m.
/// Q5_K (256, 176): f16 d, f16 dmin; 12 bytes as Q4_K; 32 bytes, bit g of byte i the high bit of column 32g + i; 128
/// bytes
///   of low bits as Q4_K. Value as Q4_K.
/// IQ4_NL (32, 18): as Q4_0. Value d * kIq4NlLevels[code].
/// MXFP4 (32, 17): u8 e; codes as Q4_0. Value 2^(e - 127) * e2m1(code).
/// Q6_K (256, 210): 128 bytes low nibbles, 64 bytes of 2-bit fields, 16 int8 scales for groups of 16, f16 d.
///   In half h, group g (0 to 3), column i < 32 of it: low = lowBytes[64h + 32 (g & 1) + i] >> 4 (g >> 1) & 15, high =
///   highBytes[32h + i] >> 2g & 3. Value (d * s) * ((low | high << 4) - 32).
///
/// Ours, for what other files hold as separate tensors:
/// INT4_ZP (32, 19): f16 d; u8 zero; codes as Q4_0. Value d * (code - zero).
/// LUT4 (32, 18): as Q4_0. Value d * levels[code], with the matrix's or the row's own 16 levels.
/// NVFP4 (32, 18): e4m3 s0 for columns 0 to 15; e4m3 s1 for the others; codes as Q4_0. Value factor * s * e2m1(code),
/// with
///   the matrix's or the row's own factor.
/// INT4_G16 (32, 20): f16 d0 for columns 0 to 15; f16 d1 for the others; codes as Q4_0. Value d * (code - 8).
#pragma once
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/float16.h"
#include "pagewarp/block_types.h"
#include "pagewarp/matrix.h"

namespace pw {

constexpr float kIq4NlLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// The matrix format that holds this block type's values without loss; false when there is none.
inline bool matrixFormat(uint32_t type, pw_matrix_format* format) {
  switch (type) {
    case kGgmlF32:
      *format = PW_MATRIX_F32;
      return true;
    case kGgmlF16:
      *format = PW_MATRIX_F16;
      return true;
    case kGgmlBF16:
      *format = PW_MATRIX_BF16;
      return true;
    case kGgmlQ4_0:
      *format = PW_MATRIX_W4;
      return true;
    case kGgmlQ4_1:
      *format = PW_MATRIX_W4M;
      return true;
    case kGgmlQ8_0:
      *format = PW_MATRIX_W8;
      return true;
    case kGgmlQ4_K:
      *format = PW_MATRIX_W4K;
      return true;
    case kGgmlQ6_K:
      *format = PW_MATRIX_W6K;
      return true;
    case kGgmlQ5_0:
      *format = PW_MATRIX_W5;
      return true;
    case kGgmlQ5_1:
      *format = PW_MATRIX_W5M;
      return true;
    case kGgmlQ5_K:
      *format = PW_MATRIX_W5K;
      return true;
    case kGgmlMXFP4:
      *format = PW_MATRIX_W4X;
      return true;
    case kBlockInt4Zp:
      *format = PW_MATRIX_W4Z;
      return true;
    case kBlockNvfp4:
      *format = PW_MATRIX_W4N;
      return true;
    case kBlockInt4G16:
      *format = PW_MATRIX_W4S;
      return true;
    case kGgmlIQ4_NL:
    case kBlockLut4:
      *format = PW_MATRIX_W4T;
      return true;
    default:
      return false;
  }
}

inline uint32_t loadWord(const uint8_t* p) {
  uint32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

inline Half loadHalf(const uint8_t* p) {
  Half half;
  std::memcpy(&half, p, sizeof half);
  return half;
}

/// 2^(e - 127), with the smallest subnormal step for e = 0, as OCP's E8M0 has it; 255 gives infinity.
inline float exponentScale(uint8_t e) {
  const uint32_t bits = e == 0 ? 0x00400000u : static_cast<uint32_t>(e) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return scale;
}

/// An 8-bit float with four bits of exponent and three of mantissa, as OCP's E4M3 has it: no infinities, one NaN per
/// sign.
inline float fromE4m3(uint8_t bits) {
  const uint32_t magnitude = bits & 0x7fu;
  uint32_t word = magnitude << 20;
  float value;
  std::memcpy(&value, &word, sizeof value);
  value *= 0x1p120f;  // from f32's bias to e4m3's, subnormal numbers included
  if (magnitude == 0x7f) value = std::numeric_limits<float>::quiet_NaN();
  return bits & 0x80u ? -value : value;
}

/// Scale and minimum of group `j` of a Q4_K block, from its 12 packed bytes.
inline void unpackScaleMin(const uint8_t* b, int j, uint8_t* scale, uint8_t* minimum) {
  if (j < 4) {
    *scale = b[j] & 63;
    *minimum = b[4 + j] & 63;
  } else {
    *scale = static_cast<uint8_t>((b[4 + j] & 15) | b[j - 4] >> 6 << 4);
    *minimum = static_cast<uint8_t>(b[4 + j] >> 4 | b[j] >> 6 << 4);
  }
}

}  // namespace pw
