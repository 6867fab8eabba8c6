// SPDX-License-Identifier: Apache-2.0
#include "plan/linear.h"

#include <algorithm>

namespace pw::plan {
namespace {

constexpr int64_t kLeastTaskBytes = 64 << 10;  // of weights: some microseconds, far above the cost of claiming a task
constexpr int64_t kTasksPerThread = 8;  // so that a thread that lost its core for a while costs an eighth at most

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

LinearPlan planLinear(int64_t tokens, int64_t strips, int64_t stripBytes, int64_t tokenBytes, int threads,
                      const LinearTiling& tiling) {
  LinearPlan plan{};
  if (tokens <= 0 || strips <= 0) return plan;
  const int64_t fitting = tiling.cacheBytes / std::max<int64_t>(tokenBytes, 1) / tiling.tokens * tiling.tokens;
  const int64_t most = std::max(tiling.tokens, fitting);
  // Blocks of nearly equal size, whole tiles each.
  plan.tokensPerBlock = divideUp(divideUp(tokens, divideUp(tokens, most)), tiling.tokens) * tiling.tokens;
  plan.tokenBlocks = divideUp(tokens, plan.tokensPerBlock);
  const int64_t wanted = threads <= 1 ? 1 : kTasksPerThread * threads;
  const int64_t work = stripBytes * std::min(tokens, plan.tokensPerBlock);
  const int64_t least = std::max<int64_t>(1, kLeastTaskBytes / std::max<int64_t>(work, 1));
  const int64_t share = divideUp(std::max(divideUp(strips, wanted), least), tiling.strips) * tiling.strips;
  plan.stripsPerTask = std::min(strips, share);
  plan.stripTasks = divideUp(strips, plan.stripsPerTask);
  return plan;
}

}  // namespace pw::plan
