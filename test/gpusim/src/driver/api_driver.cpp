// SPDX-License-Identifier: Apache-2.0
// Initialisation, versions, error texts, and what has no effect here.
#include <cstdlib>

#include "api.h"

using namespace gpusim;

namespace {

struct ErrorText {
  int value;
  const char* name;
  const char* text;
};

constexpr ErrorText kErrors[] = {
#define GPUSIM_ERROR(name, value, text) {value, #name, text},
#include "cuda_errors.def"
#undef GPUSIM_ERROR
};

CUresult describeError(CUresult error, const char** out, const char* ErrorText::*what) {
  if (!out) return CUDA_ERROR_INVALID_VALUE;
  *out = nullptr;
  for (const ErrorText& entry : kErrors) {
    if (entry.value != error) continue;
    *out = entry.*what;
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult cuInit(unsigned int flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  return guarded([] { return initialiseRuntime(); });
}

CUresult cuDriverGetVersion(int* driverVersion) {
  if (!driverVersion) return CUDA_ERROR_INVALID_VALUE;
  const char* text = std::getenv("GPUSIM_DRIVER");
  *driverVersion = text && *text ? std::atoi(text) : kDriverVersion;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char** pStr) { return describeError(error, pStr, &ErrorText::name); }
CUresult cuGetErrorString(CUresult error, const char** pStr) { return describeError(error, pStr, &ErrorText::text); }

CUresult cuProfilerStart() {
  return inContext([](const auto&) { return CUDA_SUCCESS; });
}
CUresult cuProfilerStop() {
  return inContext([](const auto&) { return CUDA_SUCCESS; });
}

CUresult cuGetExportTable(const void** ppExportTable, const CUuuid*) {
  if (ppExportTable) *ppExportTable = nullptr;
  logOnce(
      "cuGetExportTable: NVIDIA's runtime library (cudart) needs undocumented tables of the driver, which the "
      "simulator "
      "does not have; link the program with -cudart shared, so that it finds the simulator's libcudart.so beside this "
      "library (or set NVCC_APPEND_FLAGS='-cudart shared' while building)");
  return CUDA_ERROR_NOT_FOUND;
}
