// SPDX-License-Identifier: Apache-2.0
/// @file Which CUDA kernel multiplies by a dense matrix. Pure functions: tested without a device.
#pragma once
#include <cstdint>

namespace pw::plan {

/// What the kernels of cuda/linear differ in.
enum class DenseLinearKernel {
  kFew,   ///< streams the weights through registers, columns shared out among warps
  kMany,  ///< tiles in shared memory
  kOdd,   ///< rows that are not made of aligned 16-byte pieces
};

struct DenseLinearPlan {
  DenseLinearKernel kernel;
  int tokens, features;  ///< of one thread block
  int64_t tokenBlocks, featureBlocks;
  int64_t sliceLength;  ///< see pagewarp/gpu/linear.h: depends on k only
};

/// @param tensorCores x and the weights have one 16-bit type
/// @param aligned rows of both begin at multiples of 16 bytes and k is a multiple of 8
DenseLinearPlan planDenseLinear(int64_t m, int64_t n, int64_t k, bool tensorCores, bool aligned);

}  // namespace pw::plan
