// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace pw::plan {

/// How a linear layer's work is cut. A task is (token block, range of 16-row strips); tasks are numbered with the
/// strips running fastest, so that all threads work on one token block's activations at a time.
struct LinearPlan {
  int64_t tokensPerBlock;  ///< a block's activations stay in the core's second-level cache while weights stream past
  int64_t stripsPerTask;
  int64_t tokenBlocks;
  int64_t stripTasks;  ///< tasks of one token block
  int64_t tasks() const { return tokenBlocks * stripTasks; }
};

/// What a kernel's loops want.
struct LinearTiling {
  int64_t tokens;                  ///< of its widest tile
  int64_t strips = 1;              ///< that it takes together
  int64_t cacheBytes = 768 << 10;  ///< that a block's activations may occupy, of a second-level cache of 1 MiB or more
};

/// @param tokens rows of x
/// @param strips strips of 16 weight rows
/// @param stripBytes bytes of one strip
/// @param tokenBytes bytes that a token's activations occupy while they are multiplied
LinearPlan planLinear(int64_t tokens, int64_t strips, int64_t stripBytes, int64_t tokenBytes, int threads,
                      const LinearTiling& tiling);

}  // namespace pw::plan
