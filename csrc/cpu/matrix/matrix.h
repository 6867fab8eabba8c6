// SPDX-License-Identifier: Apache-2.0
/// @file Making weight matrices on the CPU.
#pragma once
#include "cpu/context.h"
#include "pagewarp/quantize.h"

namespace pw::cpu {

void quantize(const pw_quantize_args& args, Context& context);

}  // namespace pw::cpu
