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

#if !defined(PW_USE_AMX)
constexpr plan::LinearTiling kTiling{kWideTile};

/// Rows of strips [firstStrip, endStrip) times tokens [firstToken, endToken).
template <class F>
void multiplyStrips(const Operands& o, int64_t firstStrip, int64_t endStrip, int64_t firstToken, int64_t endToken,
                    Context&, int) {
  for (int64_t s = firstStrip; s < endStrip; ++s) multiplyStrip<F>(o, s, firstToken, endToken);
}
#endif

template <class F>
void linearOver(const pw_linear_args& a, Context& context) {
  const int64_t tokens = rowCount(a.x), k = a.weight.k;
  const int64_t blocks = blockCount(F::kLayout, k), groups = blocks * F::kLayout.groupsPerBlock;
  const int64_t bytesPerStrip = stripBytes(F::kLayout, k),
                tokenBytes = groups * static_cast<int64_t>(sizeof(Activations));
  auto* activations = static_cast<Activations*>(context.shared(static_cast<size_t>(tokens * tokenBytes)));

  const int32_t* order = a.weight.order;
  context.pool().forRange(tokens, 1 + 16384 / k, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t token = begin; token < end; ++token) {
      const TokenTile tile = tileOf(token, tokens);
      Activations* to = activations + tile.first * groups + (token - tile.first);
      for (int64_t g = k / kGroup; g < groups; ++g) to[g * tile.tokens] = Activations{};
      if (a.x.dtype == PW_I8) {
        takeRow(a, token, k, F::kOffset, F::kHalfGroups, to, tile.tokens);
        continue;
      }
      dispatchFloat(a.x.dtype, [&](auto* tag) {
        auto* row = static_cast<decltype(tag)>(rowPointer(a.x, token));
        if (order) {
          auto* ordered = static_cast<decltype(tag)>(context.scratch(worker, static_cast<size_t>(k) * sizeof *row));
          for (int64_t i = 0; i < k; ++i) ordered[i] = row[order[i]];
          row = ordered;
        }
        quantizeRow(row, k, F::kOffset, F::kHalfGroups, to, tile.tokens);
      });
    }
  });

  const Operands operands{a, activations, tokens, blocks, groups};
  const int64_t strips = stripCount(a.weight.n);
  const plan::LinearPlan plan =
      plan::planLinear(tokens, strips, bytesPerStrip, tokenBytes, context.pool().size(), kTiling);
  context.pool().run(plan.tasks(), [&](int64_t task, int worker) {
    const int64_t firstToken = task / plan.stripTasks * plan.tokensPerBlock;
    const int64_t firstStrip = task % plan.stripTasks * plan.stripsPerTask;
    const int64_t endToken = firstToken + plan.tokensPerBlock < tokens ? firstToken + plan.tokensPerBlock : tokens;
    const int64_t endStrip = firstStrip + plan.stripsPerTask < strips ? firstStrip + plan.stripsPerTask : strips;
    multiplyStrips<F>(operands, firstStrip, endStrip, firstToken, endToken, context, worker);
  });
}

void linearPacked(const pw_linear_args& a, Context& context) {
  switch (a.weight.format) {
    case PW_MATRIX_W4M:
      return linearOver<W4M>(a, context);
    case PW_MATRIX_W4K:
      return linearOver<W4K>(a, context);
    case PW_MATRIX_W8:
      return linearOver<W8>(a, context);
    case PW_MATRIX_W6K:
      return linearOver<W6K>(a, context);
    case PW_MATRIX_W5:
      return linearOver<W5>(a, context);
    case PW_MATRIX_W5M:
      return linearOver<W5M>(a, context);
    case PW_MATRIX_W5K:
      return linearOver<W5K>(a, context);
    case PW_MATRIX_W4Z:
      return linearOver<W4Z>(a, context);
    case PW_MATRIX_W4T:
      return a.weight.level_tables == 1 ? linearOver<W4T<OneTable>>(a, context)
                                        : linearOver<W4T<RowTables>>(a, context);
    case PW_MATRIX_W4X:
      return linearOver<W4X>(a, context);
    case PW_MATRIX_W4N:
      return linearOver<W4N>(a, context);
    case PW_MATRIX_W4S:
      return linearOver<W4S>(a, context);
    default:
      return linearOver<W4>(a, context);
  }
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
