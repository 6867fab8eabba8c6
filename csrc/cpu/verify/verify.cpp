// SPDX-License-Identifier: Apache-2.0
#include "cpu/verify/verify.h"

namespace pw::cpu {

void verify(const pw_verify_args& args, Context& context) { PW_CPU_DISPATCH(verify, args, context) }
void drawCandidates(const pw_candidates_args& args, Context& context) { PW_CPU_DISPATCH(drawCandidates, args, context) }

}  // namespace pw::cpu
