// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/quantizer.h"

namespace pw::cpu {

PW_CPU_DECLARE(gram, pw_gram_args)
/// Only the lower triangle of the sums is meant; what is written above it is unspecified.
void gram(const pw_gram_args& args, Context& context);

}  // namespace pw::cpu
