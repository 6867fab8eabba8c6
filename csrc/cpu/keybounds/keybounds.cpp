// SPDX-License-Identifier: Apache-2.0
#include "cpu/keybounds/keybounds.h"

#include <string>

namespace pw::cpu {

void keyBounds(const pw_key_bounds_args& args, Context& context) {
  for (int64_t i = 0; i < args.pages.shape[0]; ++i) {
    if (listed(args.pages, i) == -1 || hasPage(args, i)) continue;
    context.fail(PW_INVALID_ARGUMENT, "keyBounds: " + std::to_string(listed(args.counts, i)) + " tokens of page " +
                                          std::to_string(listed(args.pages, i)) + ", but the pool has pages 0 to " +
                                          std::to_string(args.cache.k.shape[0] - 1) + " of " +
                                          std::to_string(args.cache.k.shape[1]) + " tokens");
    break;
  }
  PW_CPU_DISPATCH(keyBounds, args, context)
}

}  // namespace pw::cpu
