// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>

namespace gpusim {

/// One version of a function.
struct ProcEntry {
  const char* name;  ///< without version, as cuGetProcAddress is asked for it
  int since;         ///< CUDA version that introduced this version
  void* function;
  void* perThread;  ///< variant whose null stream is the thread's own; null when there is no difference
};

std::span<const ProcEntry> procTable();

}  // namespace gpusim
