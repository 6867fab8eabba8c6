// SPDX-License-Identifier: Apache-2.0
#include "plan/packed_linear.h"

#include <algorithm>

namespace pw::plan {
namespace {

/// A shorter run would spend most of its time filling the pipeline.
constexpr int64_t kLeastIterations = 2;

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Parts of all tiles that have several blocks: a tile has one more than blocks that begin within it.
int countShares(const PackedLinearPlan& plan) {
  int shares = 0, last = -1;
  for (int block = 1; block < plan.blocks; ++block) {
    const int begin = block * plan.iterationsPerBlock;
    if (begin % plan.stages == 0) continue;
    const int tile = begin / plan.stages;
    shares += tile == last ? 1 : 2;
    last = tile;
  }
  return shares;
}

PackedLinearPlan cut(int64_t m, int64_t n, int64_t k, const gpu::PackedTile& tile, int multiprocessors) {
  const int64_t tokenBlocks = divideUp(m, tile.tokens), tiles = divideUp(n, tile.rows()) * tokenBlocks;
  const int64_t stages = divideUp(k, tile.stageColumns()), iterations = tiles * stages;
  // One block per multiprocessor: its stages in flight are more than the memory's latency asks for, and every further
  // share of a tile is written and read again. The split does not depend on m as long as the tile's rows do not, so a
  // token's result is then the same in batches of different size.
  const int64_t perBlock = std::max(divideUp(iterations, multiprocessors), std::min(kLeastIterations, iterations));
  PackedLinearPlan plan{};
  plan.tile = tile;
  plan.tokenBlocks = static_cast<int>(tokenBlocks);
  plan.tiles = static_cast<int>(tiles);
  plan.stages = static_cast<int>(stages);
  plan.iterations = static_cast<int>(iterations);
  plan.iterationsPerBlock = static_cast<int>(perBlock);
  plan.blocks = static_cast<int>(divideUp(iterations, perBlock));
  plan.shares = countShares(plan);
  return plan;
}

/// Bytes per token that are moved beside the weights: activations once per column of tiles; parts of tiles, in f32, are
/// written and read.
int64_t traffic(const PackedLinearPlan& plan, int64_t k, int elementBytes) {
  return plan.tiles / plan.tokenBlocks * k * elementBytes + int64_t{plan.shares} * plan.tile.rows() * 8;
}

}  // namespace

PackedLinearPlan planPackedLinear(int64_t m, int64_t n, int64_t k, const gpu::PackedTiles& tiles, int elementBytes,
                                  int multiprocessors) {
  const auto* holds = std::find_if(tiles.begin(), tiles.end(), [m](const auto& tile) { return tile.tokens >= m; });
  const int tokens = (holds == tiles.end() ? holds - 1 : holds)->tokens;
  PackedLinearPlan best{};
  for (const gpu::PackedTile& tile : tiles) {
    if (tile.tokens != tokens) continue;
    const PackedLinearPlan plan = cut(m, n, k, tile, multiprocessors);
    if (best.tiles == 0 || traffic(plan, k, elementBytes) < traffic(best, k, elementBytes)) best = plan;
  }
  return best;
}

}  // namespace pw::plan
