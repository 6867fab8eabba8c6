// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/linear.h"

namespace pw::cpu {

PW_CPU_DECLARE(linear, pw_linear_args)
#if defined(PW_CPU_X86)
namespace avx512vnni {
void linearPacked(const pw_linear_args&, Context&);
}
#if defined(PW_CPU_AMX)
namespace avx512amx {
void linearPacked(const pw_linear_args&, Context&);
}
#endif
#endif
void linear(const pw_linear_args& args, Context& context);

}  // namespace pw::cpu
