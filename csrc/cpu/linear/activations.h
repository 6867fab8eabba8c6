// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "pagewarp/linear.h"
#include "pagewarp/matrix_layout.h"

namespace pw::cpu {

/// 32 columns of one row of x: x ~ scale * codes. The integer sum of unsigned weight codes times `codes` starts at
/// `start`, which takes off the weights' offset: -offset * sum(codes), over all columns in start[0], or, for formats
/// whose scales cover 16 columns, over each half.
struct Activations {
  int8_t codes[kGroup];
  float scale;
  float scaledSum;  ///< scale * sum(codes): what a weight minimum is multiplied by
  int32_t start[2];
};

/// What the tasks of a linear layer over packed weights share.
struct PackedOperands {
  const pw_linear_args& args;
  const Activations* activations;
  int64_t tokens;
  int64_t blocks;          ///< of a strip
  int64_t groupsPerStrip;  ///< of these blocks
};

/// Rows of strips [firstStrip, endStrip) times tokens [firstToken, endToken), which are whole tiles.
struct PackedTask {
  int64_t firstStrip, endStrip, firstToken, endToken;
};

/// How many sums of two products with codes up to `maxCode` surely fit into 16 bits together: a divisor of `count`,
/// which is a power of two, or 0.
constexpr int pairsIn16Bits(int maxCode, int count) {
  int pairs = count;
  while (pairs * 2 * maxCode * 127 > 32767) pairs /= 2;
  return pairs;
}

}  // namespace pw::cpu
