// SPDX-License-Identifier: Apache-2.0
#include "cpu/activation/activation.h"
#include "cpu/rows.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

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

template <bool kSilu, class O, class G, class U>
void gatedRow(O* out, const G* gate, const U* up, int64_t n) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) store(out + i, activate<kSilu>(load(gate + i)) * load(up + i));
  if (i < n) storePartial(out + i, activate<kSilu>(loadPartial(gate + i, n - i)) * loadPartial(up + i, n - i), n - i);
}

}  // namespace

void gated(const pw_gated_args& a, Context& context) {
  const int64_t n = rowLength(a.out);
  dispatchFloat(a.gate.dtype, [&](auto* gateTag) {
    dispatchFloat(a.up.dtype, [&](auto* upTag) {
      dispatchFloat(a.out.dtype, [&](auto* outTag) {
        context.pool().forRange(rowCount(a.out), 1 + 8192 / (n + 1), [&](int64_t begin, int64_t end, int) {
          for (int64_t r = begin; r < end; ++r) {
            const auto* gate = static_cast<decltype(gateTag)>(rowPointer(a.gate, r));
            const auto* up = static_cast<decltype(upTag)>(rowPointer(a.up, r));
            auto* out = static_cast<decltype(outTag)>(rowPointer(a.out, r));
            if (a.activation == PW_SILU)
              gatedRow<true>(out, gate, up, n);
            else
              gatedRow<false>(out, gate, up, n);
          }
        });
      });
    });
  });
}

}  // namespace pw::cpu::PW_ISA
