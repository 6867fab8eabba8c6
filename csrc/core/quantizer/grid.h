// SPDX-License-Identifier: Apache-2.0
/// @file The values that the codes of 32 columns can stand for, and the search for the best of them.
#pragma once
#include <cstdint>

#include "pagewarp/quantizer.h"

namespace pw {

constexpr int kQuantizerGroup = 32;
constexpr int kQuantizerLevels = 16;

/// NormalFloat: quantiles of the normal distribution, scaled to [-1, 1], with an exact zero.
extern const float kNf4Levels[kQuantizerLevels];

/// value(code) = scale * level(code) + minimum; level(code) is code - offset, or comes from a table.
struct GroupGrid {
  float scale = 0;    ///< set by setScale()
  float inverse = 0;  ///< 1 / scale, or 0
  float minimum = 0;
  const float* levels = nullptr;  ///< 16 ascending ones, or null
  int offset = 0;
  int codes = 16;

  void setScale(float s) {
    scale = s;
    inverse = s != 0.0f ? 1.0f / s : 0.0f;
  }
  float level(int code) const { return levels ? levels[code] : static_cast<float>(code - offset); }
  float value(int code) const { return scale * level(code) + minimum; }
  /// The code whose value is nearest to x.
  int nearest(float x) const;
};

/// The grid for 32 weights, as their blocks can hold it (f16 scale and minimum): of a number of clipped ranges and
/// least-squares refits, the one with the least squared error, weighted by `importance`.
/// @param levels of NF4 and ANY4
GroupGrid searchGrid(pw_grid kind, const float* x, const float* importance, const float* levels);

/// 16 levels for a row of k weights: k-means over the weights in units of their groups' scales, weighted by the squared
/// scale and the importance of the column, in turn with refits of the scales. Starts from NF4's.
void learnLevels(const float* x, const float* importance, int64_t k, float* levels);

}  // namespace pw
