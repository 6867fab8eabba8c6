// SPDX-License-Identifier: Apache-2.0
#define PW_USE_VNNI
#define PW_USE_AMX
#include "cpu/linear/int_avx512.h"
#include "cpu/linear/linear.h"

// The kernels are written over the integer vectors above.
#include "cpu/linear/packed.inl"

namespace pw::cpu::avx512amx {

void linearPacked(const pw_linear_args& args, Context& context) { avx512::linearPacked(args, context); }

}  // namespace pw::cpu::avx512amx
