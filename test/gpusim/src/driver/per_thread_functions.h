// SPDX-License-Identifier: Apache-2.0
// The `_ptsz` and `_ptds` functions, which programs compiled for per-thread default streams call.
#pragma once
#include "cuda_types.h"

#pragma GCC visibility push(default)
extern "C" {
#define GPUSIM_PER_THREAD(function, suffix, parameters, arguments) CUresult function##suffix parameters;
#include "per_thread.def"
#undef GPUSIM_PER_THREAD
}
#pragma GCC visibility pop
