// SPDX-License-Identifier: Apache-2.0
// Functions of features that the simulator does not have. They exist so that programs link and get an error that says
// so; arguments are not looked at, which the calling convention of the supported hosts allows.
#include <string>

#include "cuda_types.h"
#include "log.h"

namespace {

CUresult unsupported(const char* name) {
  gpusim::logOnce(std::string(name) + " is not supported by the simulator");
  return CUDA_ERROR_NOT_SUPPORTED;
}

}  // namespace

#pragma GCC visibility push(default)
#define GPUSIM_UNSUPPORTED(name) \
  extern "C" CUresult name() { return unsupported(#name); }
#include "unsupported.def"
#undef GPUSIM_UNSUPPORTED
#pragma GCC visibility pop
