// SPDX-License-Identifier: Apache-2.0
// cuGetProcAddress: from a name without version to the newest function that the asked CUDA version knows.
#include <cstring>
#include <string_view>

#include "api.h"
#include "proc_table.h"

using namespace gpusim;

CUresult cuGetProcAddress_v2(const char* symbol, void** pfn, int cudaVersion, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* symbolStatus) {
  constexpr cuuint64_t known = CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
  if (!symbol || !pfn || (flags & ~known) || flags == known) return CUDA_ERROR_INVALID_VALUE;
  *pfn = nullptr;
  bool nameKnown = false;
  int best = 0;
  for (const ProcEntry& entry : procTable()) {
    if (std::strcmp(entry.name, symbol) != 0) continue;
    nameKnown = true;
    if (entry.since > cudaVersion || entry.since < best) continue;
    const bool perThread = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) && entry.perThread;
    *pfn = perThread ? entry.perThread : entry.function;
    best = entry.since;
  }
  CUdriverProcAddressQueryResult result = CU_GET_PROC_ADDRESS_SUCCESS;
  if (!*pfn) result = nameKnown ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  if (symbolStatus) {
    *symbolStatus = result;
    return CUDA_SUCCESS;
  }
  return *pfn ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress(const char* symbol, void** pfn, int cudaVersion, cuuint64_t flags) {
  return cuGetProcAddress_v2(symbol, pfn, cudaVersion, flags, nullptr);
}
