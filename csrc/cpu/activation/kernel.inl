// SPDX-License-Identifier: Apache-2.0
#include "cpu/activation/activation.h"
#include "cpu/rows.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

/// Elements that are computed at a time, as f32: one kernel serves all combinations of types.
constexpr int64_t kBlock = 256;

/// `n` elements of a row from element `begin` on: where they are if they are f32, else in `buffer`.
const float* asFloats(const pw_tensor& t, int64_t row, int64_t begin, int64_t n, float* buffer) {
  const float* floats = buffer;
  dispatchFloat(t.dtype, [&](auto* tag) {
    const auto* from = static_cast<decltype(tag)>(rowPointer(t, row)) + begin;
    if constexpr (sizeof *from == sizeof(float)) {
      floats = reinterpret_cast<const float*>(from);
    } else {
      int64_t i = 0;
      for (; i + Vec::kLanes <= n; i += Vec::kLanes) store(buffer + i, load(from + i));
      for (; i < n; ++i) buffer[i] = toFloat(from[i]);
    }
  });
  return floats;
}

void storeFloats(const pw_tensor& t, int64_t row, int64_t begin, int64_t n, const float* values) {
  dispatchFloat(t.dtype, [&](auto* tag) {
    auto* to = static_cast<decltype(tag)>(rowPointer(t, row)) + begin;
    int64_t i = 0;
    for (; i + Vec::kLanes <= n; i += Vec::kLanes) store(to + i, load(values + i));
    for (; i < n; ++i) fromFloat(values[i], to + i);
  });
}

/// Both activations are x times a logistic function of some e(x). Where e^-e overflows the quotient is a signed zero,
/// which is the limit; nothing cancels.
template <bool kSilu>
Vec activate(Vec x) {
  Vec exponent = Vec(0.0f) - x;
  if constexpr (!kSilu) {
    // -2 sqrt(2 / pi) (x + 0.044715 x^3)
    exponent = exponent * fma(x * x, Vec(2.0f * 0.797884561f * 0.044715f), Vec(2.0f * 0.797884561f));
  }
  return x / (Vec(1.0f) + exp(exponent));
}

template <bool kSilu>
void gatedBlock(float* out, const float* gate, const float* up, int64_t n) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) store(out + i, activate<kSilu>(load(gate + i)) * load(up + i));
  if (i < n) storePartial(out + i, activate<kSilu>(loadPartial(gate + i, n - i)) * loadPartial(up + i, n - i), n - i);
}

void gatedRow(const pw_gated_args& a, int64_t row, int64_t n) {
  float gates[kBlock], ups[kBlock], results[kBlock];
  const auto compute = a.activation == PW_SILU ? gatedBlock<true> : gatedBlock<false>;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t count = n - begin < kBlock ? n - begin : kBlock;
    compute(results, asFloats(a.gate, row, begin, count, gates), asFloats(a.up, row, begin, count, ups), count);
    storeFloats(a.out, row, begin, count, results);
  }
}

}  // namespace

void gated(const pw_gated_args& a, Context& context) {
  const int64_t n = rowLength(a.out);
  context.pool().forRange(rowCount(a.out), 1 + 8192 / (n + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) gatedRow(a, r, n);
  });
}

}  // namespace pw::cpu::PW_ISA
