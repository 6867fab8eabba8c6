// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/sample.h"

namespace pw::cpu {

PW_CPU_DECLARE(sample, pw_sample_args)
void sample(const pw_sample_args& args, Context& context);

PW_CPU_DECLARE(argmax, pw_argmax_args)
void argmax(const pw_argmax_args& args, Context& context);

}  // namespace pw::cpu
