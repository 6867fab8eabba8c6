// SPDX-License-Identifier: Apache-2.0
#include "plan/packed_linear.h"

#include <algorithm>

#include "pagewarp/gpu/linear_packed.h"

namespace pw::plan {
namespace {

/// A shorter run would spend most of its time filling the pipeline.
constexpr int64_t kLeastIterations = 2;

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

PackedLinearPlan planPackedLinear(int64_t m, int64_t n, int64_t k, pw_matrix_format format, pw_dtype activation,
                                  std::initializer_list<int> tileTokens, int multiprocessors) {
  // The smallest tile that holds all tokens, so that weights are read once; else the largest.
  int tokens = *(tileTokens.end() - 1);
  for (const int candidate : tileTokens)
    if (candidate >= m) {
      tokens = candidate;
      break;
    }
  const int64_t tokenBlocks = divideUp(m, tokens);
  const int64_t tiles = divideUp(n, gpu::packedRows(format, activation, tokens / 8)) * tokenBlocks;
  const int64_t stages = divideUp(k, gpu::packedStageColumns(format, activation, tokens / 8));
  const int64_t iterations = tiles * stages;
  // One block per multiprocessor: its stages in flight are more than the memory's latency asks for, and every further
  // share of a tile is written and read again. The split does not depend on m as long as the tile's rows do not, so a
  // token's result is then the same in batches of different size.
  const int64_t perBlock = std::max(divideUp(iterations, multiprocessors), std::min(kLeastIterations, iterations));
  PackedLinearPlan plan{};
  plan.tokens = tokens;
  plan.tokenBlocks = static_cast<int>(tokenBlocks);
  plan.tiles = static_cast<int>(tiles);
  plan.stages = static_cast<int>(stages);
  plan.iterations = static_cast<int>(iterations);
  plan.iterationsPerBlock = static_cast<int>(perBlock);
  plan.blocks = static_cast<int>(divideUp(iterations, perBlock));
  plan.sharesTiles = plan.blocks > 1 && perBlock % stages != 0;
  return plan;
}

}  // namespace pw::plan
