// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

namespace pw {

/// Type numbers of GGUF that have a matrix format, and those of our own block layouts.
enum BlockId : uint32_t {
  kGgmlF32 = 0,
  kGgmlF16 = 1,
  kGgmlQ4_0 = 2,
  kGgmlQ4_1 = 3,
  kGgmlQ5_0 = 6,
  kGgmlQ5_1 = 7,
  kGgmlQ8_0 = 8,
  kGgmlQ4_K = 12,
  kGgmlQ5_K = 13,
  kGgmlQ6_K = 14,
  kGgmlIQ4_NL = 20,
  kGgmlBF16 = 30,
  kGgmlMXFP4 = 39,
  kBlockInt4Zp = 0x10000,
  kBlockLut4 = 0x10001,
  kBlockNvfp4 = 0x10002,
  kBlockInt4G16 = 0x10003,
};

}  // namespace pw
