// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "pagewarp/gpu/linear_packed.h"

namespace pw::plan {

/// How a CUDA device's linear layer over packed weights is cut. A tile is a range of output features by a block of
/// tokens; its stages along k are iterations. Iterations are numbered (feature range, token block, stage), the last
/// running fastest, and dealt to the blocks of the grid in runs of equal length: a run may begin and end within a tile,
/// and the blocks that share one add up their parts.
struct PackedLinearPlan {
  gpu::PackedTile tile;  ///< which kernel
  int tokenBlocks;
  int tiles;
  int stages;  ///< of a tile
  int iterations;
  int iterationsPerBlock;
  int blocks;
  int shares;  ///< parts that tiles of several blocks have, all together
};

/// Takes the smallest number of tokens per tile that holds all m, so that weights are read once, or else the largest.
/// Of the tiles with as many tokens it takes the one with the least traffic beside the weights: wide tiles read the
/// activations less often, narrow ones leave smaller parts where a tile has several blocks. So the choice depends on m
/// only as far as the tile's tokens do.
/// @param tiles what there are kernels for, by rising number of tokens
/// @param elementBytes of an activation
PackedLinearPlan planPackedLinear(int64_t m, int64_t n, int64_t k, const gpu::PackedTiles& tiles, int elementBytes,
                                  int multiprocessors);

}  // namespace pw::plan
