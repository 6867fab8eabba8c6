// SPDX-License-Identifier: Apache-2.0
#include "cpu/sample/sample.h"

namespace pw::cpu {

void sample(const pw_sample_args& args, Context& context) { PW_CPU_DISPATCH(sample, args, context) }

void argmax(const pw_argmax_args& args, Context& context) { PW_CPU_DISPATCH(argmax, args, context) }

}  // namespace pw::cpu
