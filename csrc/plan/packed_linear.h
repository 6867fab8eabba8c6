// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <initializer_list>

#include "pagewarp/dtype.h"
#include "pagewarp/matrix.h"

namespace pw::plan {

/// How a CUDA device's linear layer over packed weights is cut. A tile is a range of output features by a block of
/// tokens; its stages along k are iterations. Iterations are numbered (feature range, token block, stage), the last
/// running fastest, and dealt to the blocks of the grid in runs of equal length: a run may begin and end within a tile,
/// and the blocks that share one add up their parts.
struct PackedLinearPlan {
  int tokens;  ///< of a tile: which kernel
  int tokenBlocks;
  int tiles;
  int stages;  ///< of a tile
  int iterations;
  int iterationsPerBlock;
  int blocks;
  bool sharesTiles;  ///< does any tile have several blocks?
};

/// @param tileTokens sizes of tile that there are kernels for, rising
PackedLinearPlan planPackedLinear(int64_t m, int64_t n, int64_t k, pw_matrix_format format, pw_dtype activation,
                                  std::initializer_list<int> tileTokens, int multiprocessors);

}  // namespace pw::plan
