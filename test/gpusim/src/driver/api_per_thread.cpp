// SPDX-License-Identifier: Apache-2.0
#include "api.h"
#include "per_thread_functions.h"

#define GPUSIM_PER_THREAD(function, suffix, parameters, arguments) \
  CUresult function##suffix parameters {                           \
    const gpusim::PerThreadDefaultStream scope;                    \
    return function arguments;                                     \
  }
#include "per_thread.def"
#undef GPUSIM_PER_THREAD
