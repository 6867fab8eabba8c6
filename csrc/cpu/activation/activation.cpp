// SPDX-License-Identifier: Apache-2.0
#include "cpu/activation/activation.h"

namespace pw::cpu {

void gated(const pw_gated_args& args, Context& context) { PW_CPU_DISPATCH(gated, args, context) }

}  // namespace pw::cpu
