// SPDX-License-Identifier: Apache-2.0
#include "cpu/linear/int_avx512.h"
#include "cpu/linear/linear.h"

// The kernels are written over the integer vectors above.
#include "cpu/linear/dense.inl"
#include "cpu/linear/packed.inl"

namespace pw::cpu::avx512 {

void linear(const pw_linear_args& args, Context& context) {
  return isPacked(args.weight.format) ? linearPacked(args, context) : linearDense(args, context);
}

}  // namespace pw::cpu::avx512
