// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/linear.h"

#include <string>

#include "gpu/ops.h"
#include "gpu/rows.h"
#include "pagewarp/gpu/linear.h"
#include "plan/dense_linear.h"

namespace pw::gpu {
namespace {

using plan::DenseLinearKernel;
using plan::DenseLinearPlan;

constexpr int64_t kMostBlocksAlongY = 65535;

const char* nameOf(pw_dtype dtype) { return dtype == PW_F32 ? "f32" : dtype == PW_F16 ? "f16" : "bf16"; }

/// x as a contiguous tensor of another type, in scratch memory.
pw_tensor converted(Context& context, const pw_tensor& x, pw_dtype dtype) {
  pw_tensor to = contiguousLike(x);
  to.dtype = dtype;
  to.data = context.scratch(byteCount(to));
  copy(context, x, to);
  return to;
}

std::string entryOf(const DenseLinearPlan& plan, bool tensorCores, pw_dtype weight) {
  if (plan.kernel == DenseLinearKernel::kOdd) return "pw_linear_few_x32_odd_4";
  const std::string type = nameOf(weight);
  if (plan.kernel == DenseLinearKernel::kMany) return "pw_linear_many_" + (tensorCores ? type : "x32");
  return "pw_linear_few_" + (tensorCores ? type : "x32_" + type) + "_" + std::to_string(plan.tokens);
}

}  // namespace

void linearDense(Context& context, const pw_linear_args& a) {
  const pw_dtype type = denseView(a.weight).dtype;
  const int64_t m = rowCount(a.x), n = a.weight.n, k = a.weight.k;
  if (m == 0) return;
  const bool aligned = k % 8 == 0 && reinterpret_cast<uintptr_t>(a.weight.data) % 16 == 0;
  const bool tensorCores = aligned && type != PW_F32 && a.x.dtype == type;
  const pw_dtype xType = tensorCores ? type : PW_F32;
  const bool usable = a.x.dtype == xType && (!aligned || rowsAligned(a.x, 16));
  const DenseLinearPlan plan = plan::planDenseLinear(m, n, k, tensorCores, aligned);
  const bool many = plan.kernel == DenseLinearKernel::kMany;
  if (!many && plan.tokenBlocks > kMostBlocksAlongY)
    throw Error(PW_UNSUPPORTED,
                "CUDA kernels take up to " + std::to_string(kMostBlocksAlongY * plan.tokens) +
                    " rows of x over a dense matrix whose rows are no multiple of 8 elements, but got " +
                    std::to_string(m));

  pw_gpu_linear_params p{};
  p.x = rowsOf(usable ? a.x : converted(context, a.x, xType));
  p.out = rowsOf(a.out);
  p.residual = rowsOf(a.residual);
  p.weight = a.weight.data;
  p.bias = a.bias.data;
  p.biasType = a.bias.dtype;
  p.weightType = type;
  p.m = static_cast<int32_t>(m);
  p.n = static_cast<int32_t>(n);
  p.k = static_cast<int32_t>(k);
  p.sliceLength = static_cast<int32_t>(plan.sliceLength);
  const auto tokenBlocks = static_cast<unsigned>(plan.tokenBlocks),
             featureBlocks = static_cast<unsigned>(plan.featureBlocks);
  // Tiles of the same weights follow one another, so that the second-level cache serves all but the first.
  const Dim3 grid = many ? Dim3{tokenBlocks, featureBlocks} : Dim3{featureBlocks, tokenBlocks};
  context.launch(context.kernel(many ? "linear/many" : "linear/few", entryOf(plan, tensorCores, type).c_str()), grid,
                 {256}, 0, p);
}

}  // namespace pw::gpu
