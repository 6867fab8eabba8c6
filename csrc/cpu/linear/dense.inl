// SPDX-License-Identifier: Apache-2.0
/// @file Linear layers over F32, F16 and BF16 weights, row-major: f32 products and sums.
///
/// Rows of x are widened to f32 first, but where the processor multiplies their type by that of the weights:
/// avx512bf16.cpp.
///
/// An output element is one vector of partial sums over ascending columns, reduced at the end, whatever the tile is: a
/// row's result does not depend on the batch around it. A tile of 4 weight rows x 4 tokens reads 8 vectors for 16
/// multiply-adds.
#pragma once
#include "cpu/context.h"
#include "cpu/linear/epilogue.inl"
#include "cpu/simd/unroll.h"
#include "plan/linear.h"

namespace pw::cpu::PW_ISA {
namespace {

constexpr int kDenseRows = Vec::kLanes == 16 ? 4 : 2;  // what fits the registers: 32 with AVX-512, 16 elsewhere
constexpr int kDenseTokens = 4;

/// How weights of W are multiplied by rows of X: in vectors of kStep elements.
template <class W, class X>
struct Products {
  static constexpr int kStep = Vec::kLanes;
  template <class T>
  static Vec whole(const T* p) {
    return load(p);
  }
  /// The first `count` elements, and zeros.
  template <class T>
  static Vec part(const T* p, int64_t count) {
    return loadPartial(p, count);
  }
  static Vec add(Vec sum, Vec w, Vec x) { return fma(w, x, sum); }
};

/// sums[t * kStripRows + r] = dot(weights row r, x row t) for R weight rows and T tokens.
template <int R, int T, class W, class X>
void multiplyDense(const W* weights, int64_t k, const X* const* x, float* sums) {
  using P = Products<W, X>;
  using Weights = decltype(P::whole(weights));
  Vec sum[R][T];
  PW_IN_REGISTERS for (int r = 0; r < R; ++r) { PW_IN_REGISTERS for (int t = 0; t < T; ++t) sum[r][t] = Vec(0.0f); }
  int64_t i = 0;
  for (; i + P::kStep <= k; i += P::kStep) {
    Weights w[R];
    PW_IN_REGISTERS for (int r = 0; r < R; ++r) w[r] = P::whole(weights + r * k + i);
    PW_IN_REGISTERS for (int t = 0; t < T; ++t) {
      const auto v = P::whole(x[t] + i);
      PW_IN_REGISTERS for (int r = 0; r < R; ++r) sum[r][t] = P::add(sum[r][t], w[r], v);
    }
  }
  if (i < k) {
    PW_IN_REGISTERS for (int t = 0; t < T; ++t) {
      const auto v = P::part(x[t] + i, k - i);
      PW_IN_REGISTERS for (int r = 0; r < R; ++r) sum[r][t] = P::add(sum[r][t], P::part(weights + r * k + i, k - i), v);
    }
  }
  PW_IN_REGISTERS for (int t = 0; t < T; ++t) {
    PW_IN_REGISTERS for (int r = 0; r < R; ++r) sums[t * kStripRows + r] = reduceAdd(sum[r][t]);
  }
}

template <int R, class W, class X>
void multiplyDenseTokens(const W* weights, int64_t k, const X* const* x, int tokens, float* sums) {
  switch (tokens) {
    case 1:
      return multiplyDense<R, 1>(weights, k, x, sums);
    case 2:
      return multiplyDense<R, 2>(weights, k, x, sums);
    case 3:
      return multiplyDense<R, 3>(weights, k, x, sums);
    default:
      return multiplyDense<R, kDenseTokens>(weights, k, x, sums);
  }
}

template <class X>
void widen(const X* from, int64_t k, float* to) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= k; i += Vec::kLanes) storeF32(to + i, load(from + i));
  for (; i < k; ++i) to[i] = toFloat(from[i]);
}

/// Pointers to the rows of x as elements of X: f32, into which they are converted in shared memory where they are
/// something else, or their own type.
template <class X>
const X** rowsAs(const pw_linear_args& a, int64_t tokens, Context& context) {
  constexpr bool kWidens = sizeof(X) == sizeof(float);
  const int64_t k = a.weight.k, stride = (k + 15) / 16 * 16;
  const bool converts = kWidens && a.x.dtype != PW_F32;
  const size_t rowBytes = converts ? static_cast<size_t>(stride) * sizeof(X) : 0;
  auto* converted = static_cast<X*>(context.shared(static_cast<size_t>(tokens) * (rowBytes + sizeof(X*))));
  auto** rows =
      reinterpret_cast<const X**>(reinterpret_cast<char*>(converted) + static_cast<size_t>(tokens) * rowBytes);
  context.pool().forRange(tokens, converts ? 1 + 32768 / k : tokens, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      void* row = rowPointer(a.x, t);
      rows[t] = converts ? converted + t * stride : static_cast<const X*>(row);
      if constexpr (kWidens) {
        if (a.x.dtype == PW_F16) widen(static_cast<const Half*>(row), k, converted + t * stride);
        if (a.x.dtype == PW_BF16) widen(static_cast<const BFloat*>(row), k, converted + t * stride);
      }
    }
  });
  return rows;
}

template <class W, class X = float>
void linearDenseOver(const pw_linear_args& a, Context& context) {
  const int64_t tokens = rowCount(a.x), k = a.weight.k, n = a.weight.n;
  const X** x = rowsAs<X>(a, tokens, context);
  const int64_t strips = stripCount(n);
  const plan::LinearPlan plan =
      plan::planLinear(tokens, strips, kStripRows * k * static_cast<int64_t>(sizeof(W)),
                       k * static_cast<int64_t>(sizeof(X)), context.pool().size(), {kDenseTokens});
  context.pool().run(plan.tasks(), [&](int64_t task, int) {
    const int64_t firstToken = task / plan.stripTasks * plan.tokensPerBlock,
                  firstStrip = task % plan.stripTasks * plan.stripsPerTask;
    const int64_t endToken = firstToken + plan.tokensPerBlock < tokens ? firstToken + plan.tokensPerBlock : tokens;
    const int64_t endStrip = firstStrip + plan.stripsPerTask < strips ? firstStrip + plan.stripsPerTask : strips;
    alignas(64) float sums[kDenseTokens * kStripRows];
    for (int64_t s = firstStrip; s < endStrip; ++s) {
      const W* weights = static_cast<const W*>(a.weight.data) + s * kStripRows * k;
      const int rows = static_cast<int>(n - s * kStripRows < kStripRows ? n - s * kStripRows : kStripRows);
      for (int64_t token = firstToken; token < endToken; token += kDenseTokens) {
        const int count = static_cast<int>(endToken - token < kDenseTokens ? endToken - token : kDenseTokens);
        int r = 0;
        for (; r + kDenseRows <= rows; r += kDenseRows)
          multiplyDenseTokens<kDenseRows>(weights + r * k, k, x + token, count, sums + r);
        for (; r < rows; ++r) multiplyDenseTokens<1>(weights + r * k, k, x + token, count, sums + r);
        writeTile(a, sums, token, count, s * kStripRows);
      }
    }
    finishOutput(a);
  });
}

inline void linearDense(const pw_linear_args& a, Context& context) {
  switch (a.weight.format) {
    case PW_MATRIX_F16:
      return linearDenseOver<Half>(a, context);
    case PW_MATRIX_BF16:
      return linearDenseOver<BFloat>(a, context);
    default:
      return linearDenseOver<float>(a, context);
  }
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
