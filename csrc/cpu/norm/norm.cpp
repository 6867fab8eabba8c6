// SPDX-License-Identifier: Apache-2.0
#include "cpu/norm/norm.h"

namespace pw::cpu {

void rmsNorm(const pw_rmsnorm_args& args, Context& context) { PW_CPU_DISPATCH(rmsNorm, args, context) }

}  // namespace pw::cpu
