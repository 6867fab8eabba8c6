// SPDX-License-Identifier: Apache-2.0
#include "cpu/linear/linear.h"

#include "pagewarp/matrix_layout.h"

namespace pw::cpu {

void linear(const pw_linear_args& args, Context& context) {
#if defined(PW_CPU_AMX)
  if (context.isa() == Isa::kAmx && isPacked(args.weight.format)) return avx512amx::linearPacked(args, context);
#endif
#if defined(PW_CPU_X86)
  if (context.isa() == Isa::kAvx512 && context.features().vnni && isPacked(args.weight.format))
    return avx512vnni::linearPacked(args, context);
  if (context.isa() >= Isa::kAvx512 && context.features().bf16 && args.weight.format == PW_MATRIX_BF16 &&
      args.x.dtype == PW_BF16)
    return avx512bf16::linearDense(args, context);
#endif
  PW_CPU_DISPATCH(linear, args, context)
}

}  // namespace pw::cpu
