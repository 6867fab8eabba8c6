// SPDX-License-Identifier: Apache-2.0
/// @file Which kernel a dense linear layer takes on a GPU, and how its sums are cut.
#include "check.h"
#include "pagewarp/gpu/linear.h"
#include "plan/dense_linear.h"

using namespace pw::plan;

TEST(denseLinearPlansCoverEveryShape) {
  for (const int64_t m : {1, 2, 8, 9, 32, 33, 64, 65, 1000})
    for (const int64_t n : {1, 15, 16, 17, 129, 4096, 151936})
      for (const int64_t k : {1, 31, 64, 257, 512, 4096, 14336})
        for (const bool tensorCores : {false, true})
          for (const bool aligned : {false, true}) {
            const DenseLinearPlan plan = planDenseLinear(m, n, k, tensorCores, aligned);
            CHECK(plan.tokenBlocks * plan.tokens >= m && (plan.tokenBlocks - 1) * plan.tokens < m);
            CHECK(plan.featureBlocks * plan.features >= n && (plan.featureBlocks - 1) * plan.features < n);
            CHECK(plan.sliceLength % PW_GPU_LINEAR_BLOCK == 0);
            CHECK(plan.sliceLength * PW_GPU_LINEAR_SLICES >= k);
            CHECK((plan.kernel == DenseLinearKernel::kOdd) == !aligned);
          }
}

TEST(denseLinearSlicesDependOnColumnsOnly) {
  for (const int64_t k : {1, 64, 500, 4096, 11008}) {
    const int64_t length = planDenseLinear(1, 16, k, false, true).sliceLength;
    for (const int64_t m : {1, 8, 40, 500})
      for (const int64_t n : {16, 5000})
        for (const bool tensorCores : {false, true})
          CHECK(planDenseLinear(m, n, k, tensorCores, true).sliceLength == length);
  }
}

TEST(denseLinearReadsWeightsOnceForFewTokens) {
  for (int64_t m = 1; m <= 8; ++m)
    for (const bool tensorCores : {false, true}) {
      const DenseLinearPlan plan = planDenseLinear(m, 4096, 4096, tensorCores, true);
      CHECK(plan.kernel == DenseLinearKernel::kFew);
      CHECK(plan.tokenBlocks == 1);
    }
  CHECK(planDenseLinear(512, 4096, 4096, true, true).kernel == DenseLinearKernel::kMany);
}
