// SPDX-License-Identifier: Apache-2.0
#include "cpu/quantizer/gram.h"

namespace pw::cpu {

void gram(const pw_gram_args& args, Context& context) { PW_CPU_DISPATCH(gram, args, context) }

}  // namespace pw::cpu
