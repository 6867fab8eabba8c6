// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "cpu/linear/activations.h"
#include "pagewarp/linear.h"

namespace pw::cpu {

PW_CPU_DECLARE(linear, pw_linear_args)
#if defined(PW_CPU_X86)
namespace avx512vnni {
void linearPacked(const pw_linear_args&, Context&);
/// One task of such a layer: what avx512amx leaves.
void multiplyPacked(const PackedOperands&, const PackedTask&, Context&, int worker);
}  // namespace avx512vnni
namespace avx512bf16 {
/// BF16 weights by BF16 rows of x.
void linearDense(const pw_linear_args&, Context&);
}  // namespace avx512bf16
#if defined(PW_CPU_AMX)
namespace avx512amx {
void linearPacked(const pw_linear_args&, Context&);
}
#endif
#endif
void linear(const pw_linear_args& args, Context& context);

}  // namespace pw::cpu
