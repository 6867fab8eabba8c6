// SPDX-License-Identifier: Apache-2.0
// Functions that programs may link with but the simulated GPU does not have. Without the toolkit's header here, since
// their arguments do not matter.
#include <atomic>
#include <cstdio>

namespace {

constexpr int kNotSupported = 801;  // cudaErrorNotSupported

int refuse(const char* name, std::atomic<bool>& said) {
  if (!said.exchange(true)) std::fprintf(stderr, "gpusim: %s is not supported\n", name);
  return kNotSupported;
}

}  // namespace

#define RUNTIME_UNSUPPORTED(name)                                \
  extern "C" __attribute__((visibility("default"))) int name() { \
    static std::atomic<bool> said{false};                        \
    return refuse(#name, said);                                  \
  }
#include "runtime_unsupported.def"
#undef RUNTIME_UNSUPPORTED
