// SPDX-License-Identifier: Apache-2.0
#include "plan/attention_split.h"

#include <algorithm>

namespace pw {
namespace {

/// Pieces are multiples of this: what one tensor-core instruction scores.
constexpr int64_t kGranule = 8;
/// Shorter ones cost more in starting and merging than they gain.
constexpr int64_t kShortestPiece = 32;
/// Thread blocks per worker that are considered: more would leave nothing idle, but merging costs.
constexpr int64_t kMostWaves = 16;
constexpr double kGoodEfficiency = 0.9;

int64_t ceilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Tiles {
  const std::vector<int64_t>& keys;
  int64_t copies, workers;

  int64_t blocks(int64_t length) const {
    int64_t count = 0;
    for (const int64_t n : keys) count += std::max<int64_t>(1, ceilDivide(n, length));
    return count * copies;
  }
  int64_t total() const {
    int64_t sum = 0;
    for (const int64_t n : keys) sum += n;
    return sum * copies;
  }
  int64_t longest() const { return keys.empty() ? 0 : *std::max_element(keys.begin(), keys.end()); }

  /// Useful work over workers' time, at least: blocks that start as soon as a worker is free end within the smaller of
  /// these two bounds.
  double efficiency(int64_t length) const {
    const int64_t piece = std::min(length, longest());
    const double waves = static_cast<double>(ceilDivide(blocks(length), workers) * piece);
    const double packed =
        static_cast<double>(total() - piece) / static_cast<double>(workers) + static_cast<double>(piece);
    return static_cast<double>(total()) / static_cast<double>(workers) / std::min(waves, packed);
  }

  /// The shortest piece that needs at most so many blocks.
  int64_t shortestFor(int64_t most) const {
    int64_t low = kShortestPiece / kGranule, high = ceilDivide(longest(), kGranule);
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (blocks(middle * kGranule) <= most) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low * kGranule;
  }
};

}  // namespace

int32_t attentionRowTile(int64_t packedRows) {
  int32_t tile = 16;
  while (tile < 128 && tile < packedRows) tile *= 2;
  return tile;
}

int32_t evenPieceLength(const std::vector<int64_t>& keys, int64_t copies, int64_t workers) {
  const Tiles tiles{keys, copies, workers};
  const int64_t longest = tiles.longest();
  if (longest <= kShortestPiece) return 0;
  double best = tiles.efficiency(longest);
  if (best >= kGoodEfficiency) return 0;
  int64_t chosen = 0;
  for (int64_t waves = 1; waves <= kMostWaves && best < kGoodEfficiency; ++waves) {
    const int64_t length = tiles.shortestFor(waves * workers);
    if (length >= longest) continue;
    const double efficiency = tiles.efficiency(length);
    if (efficiency > best) {
      best = efficiency;
      chosen = length;
    }
  }
  return static_cast<int32_t>(chosen);
}

}  // namespace pw
