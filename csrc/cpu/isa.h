// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace pw::cpu {

/// Instruction sets that a kernel may have a version for, in rising order. `kReference` is the naive float64 contract
/// of each op, run through the same API; tests compare every other level with it. kAmx is kAvx512 with the tiles of AMX
/// in linear layers over many rows, which give the same bits.
enum class Isa { kReference = 0, kPortable = 1, kAvx2 = 2, kAvx512 = 3, kAmx = 4 };

/// Optional extensions above kAvx512. kAmx needs `vnni`.
struct Features {
  bool vnni = false;
  bool bf16 = false;
};

/// The highest level that this processor and operating system can run. The first call asks the system for the process's
/// permission to use AMX tiles, where there are any; Linux then refuses alternate signal stacks too small to hold them.
Isa detectIsa();
/// Extensions of this processor (all false below kAvx512).
Features detectFeatures();
/// @throws Error(PW_INVALID_ARGUMENT) for an unknown name, Error(PW_DEVICE_UNAVAILABLE) for a level this CPU lacks
Isa parseIsa(const std::string& name);
const char* isaName(Isa isa);
/// Marketing name of the processor, for reports.
std::string cpuName();

}  // namespace pw::cpu
