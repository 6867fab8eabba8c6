// SPDX-License-Identifier: Apache-2.0
#include "plan/dense_linear.h"

#include <algorithm>

#include "pagewarp/gpu/linear.h"

namespace pw::plan {
namespace {

constexpr int kStrip = 16;  // features of a block of the kernels for few rows
/// Up to here, blocks that share out the columns keep more of the device busy than tiles of 64 tokens would, and what
/// they read twice comes from the second-level cache.
constexpr int64_t kMostFewTokens = 32;

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

DenseLinearPlan planDenseLinear(int64_t m, int64_t n, int64_t k, bool tensorCores, bool aligned) {
  DenseLinearPlan plan{};
  if (!aligned) {
    plan.kernel = DenseLinearKernel::kOdd;
    plan.tokens = 4;
    plan.features = kStrip;
  } else if (m <= kMostFewTokens) {
    plan.kernel = DenseLinearKernel::kFew;
    plan.tokens = tensorCores ? (m <= 8 ? 8 : 32) : (m == 1 ? 1 : 8);
    plan.features = kStrip;
  } else {
    plan.kernel = DenseLinearKernel::kMany;
    plan.tokens = 64;
    plan.features = tensorCores ? 128 : 64;
  }
  plan.tokenBlocks = divideUp(m, plan.tokens);
  plan.featureBlocks = divideUp(n, plan.features);
  const int64_t longest = divideUp(k, PW_GPU_LINEAR_SLICES);
  plan.sliceLength = std::max<int64_t>(2, divideUp(longest, PW_GPU_LINEAR_BLOCK)) * PW_GPU_LINEAR_BLOCK;
  return plan;
}

}  // namespace pw::plan
