// SPDX-License-Identifier: Apache-2.0
#include "core/quantizer/grid.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/float16.h"

namespace pw {

const float kNf4Levels[kQuantizerLevels] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

namespace {

/// As an f16 block would give it back.
float rounded(double x) {
  Half half;
  fromFloat(std::clamp(static_cast<float>(x), -65504.0f, 65504.0f), &half);
  return toFloat(half);
}

/// sum importance * (x - nearest value)^2.
double errorOf(const GroupGrid& grid, const float* x, const float* importance) {
  double error = 0;
  for (int i = 0; i < kQuantizerGroup; ++i) {
    const double d = static_cast<double>(x[i]) - static_cast<double>(grid.value(grid.nearest(x[i])));
    error += static_cast<double>(importance[i]) * d * d;
  }
  return error;
}

/// Scale (and minimum) that fit x best in the least-squares sense with the codes that `grid` gives it.
GroupGrid refit(GroupGrid grid, const float* x, const float* importance, bool withMinimum) {
  double w = 0, l = 0, ll = 0, v = 0, lv = 0;
  for (int i = 0; i < kQuantizerGroup; ++i) {
    const double weight = static_cast<double>(importance[i]),
                 level = static_cast<double>(grid.level(grid.nearest(x[i]))), value = static_cast<double>(x[i]);
    w += weight;
    l += weight * level;
    ll += weight * level * level;
    v += weight * value;
    lv += weight * level * value;
  }
  const double determinant = withMinimum ? w * ll - l * l : ll;
  if (!(determinant > 0)) return grid;
  grid.setScale(rounded(withMinimum ? (w * lv - l * v) / determinant : lv / ll));
  if (withMinimum) grid.minimum = rounded((ll * v - l * lv) / determinant);
  return grid;
}

/// Keeps the better of two.
struct Best {
  GroupGrid grid;
  double error;
  void offer(const GroupGrid& other, const float* x, const float* importance) {
    const double e = errorOf(other, x, importance);
    if (e >= error) return;
    grid = other;
    error = e;
  }
};

constexpr float kLeastClip = 0.6f, kMostClip = 1.04f, kClipStep = 0.055f;

}  // namespace

int GroupGrid::nearest(float x) const {
  const float y = (x - minimum) * inverse;
  if (!levels)
    return static_cast<int>(
        std::lrint(std::clamp(y + static_cast<float>(offset), 0.0f, static_cast<float>(codes - 1))));
  const int above = static_cast<int>(std::lower_bound(levels, levels + codes, y) - levels);
  if (above == 0) return 0;
  if (above == codes) return codes - 1;
  return y - levels[above - 1] <= levels[above] - y ? above - 1 : above;
}

GroupGrid searchGrid(pw_grid kind, const float* x, const float* importance, const float* levels) {
  const auto [low, high] = std::minmax_element(x, x + kQuantizerGroup);
  const float least = *low, most = *high, extreme = -least > most ? least : most, magnitude = std::fabs(extreme);
  GroupGrid grid;
  if (kind == PW_GRID_Q8_0) {
    grid.offset = 128;
    grid.codes = 256;
    grid.setScale(rounded(static_cast<double>(magnitude) / 127.0));
    return grid;
  }
  const bool table = kind == PW_GRID_NF4 || kind == PW_GRID_ANY4, withMinimum = kind == PW_GRID_Q4_1;
  grid.levels = table ? levels : nullptr;
  grid.offset = kind == PW_GRID_Q4_0 ? 8 : 0;
  if (magnitude == 0.0f) return grid;
  const float reach = table ? std::max(-levels[0], levels[kQuantizerLevels - 1]) : 8.0f;
  Best best{grid, HUGE_VAL};
  for (float clip = kLeastClip; clip < kMostClip; clip += kClipStep) {
    if (withMinimum) {
      grid.setScale(rounded(clip * (most - least) / 15.0f));
      grid.minimum = rounded(0.5f * (most + least) - 0.5f * clip * (most - least));
    } else {
      grid.setScale(rounded(clip * extreme / -reach));  // the wider side of the codes is the negative one
    }
    for (const bool mirrored : {false, true}) {
      if (mirrored) grid.setScale(-grid.scale);
      if (mirrored && withMinimum) break;
      best.offer(grid, x, importance);
      best.offer(refit(grid, x, importance, withMinimum), x, importance);
    }
  }
  return best.grid;
}

void learnLevels(const float* x, const float* importance, int64_t k, float* levels) {
  constexpr int kRounds = 3, kIterations = 8;
  std::copy_n(kNf4Levels, kQuantizerLevels, levels);
  struct Sample {
    float value;
    double weight;
  };
  std::vector<Sample> samples(static_cast<size_t>(k));
  for (int round = 0; round < kRounds; ++round) {
    for (int64_t g = 0; g < k; g += kQuantizerGroup) {
      const GroupGrid grid = searchGrid(PW_GRID_ANY4, x + g, importance + g, levels);
      for (int64_t i = g; i < g + kQuantizerGroup; ++i) {
        const auto scale = static_cast<double>(grid.scale);
        samples[static_cast<size_t>(i)] = {x[i] * grid.inverse, static_cast<double>(importance[i]) * scale * scale};
      }
    }
    for (int iteration = 0; iteration < kIterations; ++iteration) {
      double weights[kQuantizerLevels] = {}, sums[kQuantizerLevels] = {};
      GroupGrid unit;
      unit.setScale(1.0f);
      unit.levels = levels;
      for (const Sample& s : samples) {
        const int code = unit.nearest(s.value);
        weights[code] += s.weight;
        sums[code] += s.weight * static_cast<double>(s.value);
      }
      for (int i = 0; i < kQuantizerLevels; ++i)
        if (weights[i] > 0) levels[i] = static_cast<float>(sums[i] / weights[i]);
      std::sort(levels, levels + kQuantizerLevels);
    }
  }
}

}  // namespace pw
