// SPDX-License-Identifier: Apache-2.0
#include "proc_table.h"

#include "cuda_functions.h"
#include "per_thread_functions.h"

namespace gpusim {

std::span<const ProcEntry> procTable() {
  static const ProcEntry kTable[] = {
#define GPUSIM_PROC(name, symbol, since) {#name, since, reinterpret_cast<void*>(&symbol), nullptr},
#define GPUSIM_PROC_PER_THREAD(name, symbol, since, suffix) \
  {#name, since, reinterpret_cast<void*>(&symbol), reinterpret_cast<void*>(&symbol##suffix)},
#include "proc_table.def"
#undef GPUSIM_PROC
#undef GPUSIM_PROC_PER_THREAD
  };
  return kTable;
}

}  // namespace gpusim
