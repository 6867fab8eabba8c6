// SPDX-License-Identifier: Apache-2.0
#define PW_USE_VNNI
#include "cpu/linear/int_avx512.h"
#include "cpu/linear/linear.h"

// The kernels are written over the integer vectors above.
#include "cpu/linear/packed.inl"

namespace pw::cpu::avx512vnni {

void linearPacked(const pw_linear_args& args, Context& context) { avx512::linearPacked(args, context); }

void multiplyPacked(const PackedOperands& operands, const PackedTask& task, Context& context, int worker) {
  avx512::packedKernel(operands.args.weight).multiply(operands, task, context, worker);
}

}  // namespace pw::cpu::avx512vnni
