// SPDX-License-Identifier: Apache-2.0
// Compiles only if every function that the library exports is declared by the toolkit with the same signature: two C
// functions of one name with different parameters are an error.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <cudaProfiler.h>

#define GPUSIM_TYPES_FROM_TOOLKIT
#include "driver/cuda_functions.h"

extern "C" {
#define GPUSIM_PER_THREAD(function, suffix, parameters, arguments) CUresult CUDAAPI function##suffix parameters;
#include "driver/per_thread.def"
#undef GPUSIM_PER_THREAD
}
