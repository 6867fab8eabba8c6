// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

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

}  // namespace pw::cpu
