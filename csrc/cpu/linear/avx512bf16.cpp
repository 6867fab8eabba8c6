// SPDX-License-Identifier: Apache-2.0
/// @file BF16 weights and rows of x, multiplied as they are.
#include "cpu/linear/linear.h"
#include "cpu/simd/vec.h"

// The kernels are written over the vectors above.
#include "cpu/linear/dense.inl"

namespace pw::cpu::avx512 {
namespace {

/// Two products a lane, which f32 holds exactly; subnormal numbers count as zero.
template <>
struct Products<BFloat, BFloat> {
  static constexpr int kStep = 32;
  static __m512bh whole(const BFloat* p) { return asPairs(_mm512_loadu_si512(p)); }
  static __m512bh part(const BFloat* p, int64_t count) {
    return asPairs(_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << count) - 1), p));
  }
  static Vec add(Vec sum, __m512bh w, __m512bh x) { return _mm512_dpbf16_ps(sum.v, w, x); }

 private:
  /// Compilers do not agree on what converts to their type of bf16 vectors.
  static __m512bh asPairs(__m512i bits) {
    __m512bh pairs;
    std::memcpy(&pairs, &bits, sizeof pairs);
    return pairs;
  }
};

}  // namespace
}  // namespace pw::cpu::avx512

namespace pw::cpu::avx512bf16 {

void linearDense(const pw_linear_args& args, Context& context) {
  avx512::linearDenseOver<BFloat, BFloat>(args, context);
}

}  // namespace pw::cpu::avx512bf16
