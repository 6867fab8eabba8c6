// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/rope.h"

namespace pw::cpu {

/// One version for every instruction set: float64 sine and cosine, a fraction of a percent of a step.
void ropeTable(const pw_rope_table_args& args, Context& context);

PW_CPU_DECLARE(rope, pw_rope_args)
void rope(const pw_rope_args& args, Context& context);

}  // namespace pw::cpu
