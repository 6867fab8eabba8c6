// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/verify.h"

namespace pw::cpu {

PW_CPU_DECLARE(verify, pw_verify_args)
void verify(const pw_verify_args& args, Context& context);

PW_CPU_DECLARE(drawCandidates, pw_candidates_args)
void drawCandidates(const pw_candidates_args& args, Context& context);

}  // namespace pw::cpu
