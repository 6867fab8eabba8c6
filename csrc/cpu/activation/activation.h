// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/activation.h"

namespace pw::cpu {

PW_CPU_DECLARE(gated, pw_gated_args)
void gated(const pw_gated_args& args, Context& context);

}  // namespace pw::cpu
