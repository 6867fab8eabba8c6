// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/norm.h"

namespace pw::cpu {

PW_CPU_DECLARE(rmsNorm, pw_rmsnorm_args)
void rmsNorm(const pw_rmsnorm_args& args, Context& context);

}  // namespace pw::cpu
