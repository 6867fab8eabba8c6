// SPDX-License-Identifier: Apache-2.0
/// @file Linear layers over packed weights: int8 activations, exact integer sums per group, f32 over groups.
#pragma once
#include "cpu/context.h"
#include "cpu/linear/activations.inl"
#include "cpu/linear/epilogue.inl"
#include "cpu/linear/tiles.inl"
#include "plan/linear.h"
#if defined(PW_USE_AMX)
#include "cpu/linear/tiles_amx.inl"
#endif

namespace pw::cpu::PW_ISA {
namespace {

/// A packed format: its layout, what is taken off its codes, whether halves of a group have scales, its kernel.
struct PackedKernel {
  PackedLayout layout;
  int offset;
  bool halfGroups;
  void (*multiply)(const PackedOperands&, const PackedTask&, Context&, int worker);
};

#if defined(PW_USE_AMX)
template <class F>
constexpr PackedKernel kKernel{F::kLayout, F::kOffset, F::kHalfGroups, multiplyTaskWide<F>};
#else
template <class F>
constexpr PackedKernel kKernel{F::kLayout, F::kOffset, F::kHalfGroups, multiplyTask<F>};
constexpr plan::LinearTiling kTiling{kWideTile};
#endif

const PackedKernel& packedKernel(const pw_matrix& weight) {
  switch (weight.format) {
    case PW_MATRIX_W4M:
      return kKernel<W4M>;
    case PW_MATRIX_W4K:
      return kKernel<W4K>;
    case PW_MATRIX_W8:
      return kKernel<W8>;
    case PW_MATRIX_W6K:
      return kKernel<W6K>;
    case PW_MATRIX_W5:
      return kKernel<W5>;
    case PW_MATRIX_W5M:
      return kKernel<W5M>;
    case PW_MATRIX_W5K:
      return kKernel<W5K>;
    case PW_MATRIX_W4Z:
      return kKernel<W4Z>;
    case PW_MATRIX_W4T:
      return weight.level_tables == 1 ? kKernel<W4T<OneTable>> : kKernel<W4T<RowTables>>;
    case PW_MATRIX_W4X:
      return kKernel<W4X>;
    case PW_MATRIX_W4N:
      return kKernel<W4N>;
    case PW_MATRIX_W4S:
      return kKernel<W4S>;
    default:
      return kKernel<W4>;
  }
}

void linearPacked(const pw_linear_args& a, Context& context) {
  const PackedKernel& kernel = packedKernel(a.weight);
  const int64_t tokens = rowCount(a.x), k = a.weight.k;
  const int64_t blocks = blockCount(kernel.layout, k), groups = blocks * kernel.layout.groupsPerBlock;
  const int64_t tokenBytes = groups * static_cast<int64_t>(sizeof(Activations));
  auto* activations = static_cast<Activations*>(context.shared(static_cast<size_t>(tokens * tokenBytes)));
  recordActivations(a, groups, kernel.offset, kernel.halfGroups, activations, context);

  const PackedOperands operands{a, activations, tokens, blocks, groups};
  const int64_t strips = stripCount(a.weight.n);
  const plan::LinearPlan plan =
      plan::planLinear(tokens, strips, stripBytes(kernel.layout, k), tokenBytes, context.pool().size(), kTiling);
  context.pool().run(plan.tasks(), [&](int64_t task, int worker) {
    const int64_t firstToken = task / plan.stripTasks * plan.tokensPerBlock;
    const int64_t firstStrip = task % plan.stripTasks * plan.stripsPerTask;
    const int64_t endToken = firstToken + plan.tokensPerBlock < tokens ? firstToken + plan.tokensPerBlock : tokens;
    const int64_t endStrip = firstStrip + plan.stripsPerTask < strips ? firstStrip + plan.stripsPerTask : strips;
    kernel.multiply(operands, {firstStrip, endStrip, firstToken, endToken}, context, worker);
    finishOutput(a);
  });
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
