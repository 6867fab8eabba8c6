// SPDX-License-Identifier: Apache-2.0
#include "exec/decoder.h"

namespace gpusim {

namespace baseline {
bool decodeArithmetic(Decoder& d, const ptx::Statement& s, Instruction& in);
}
#if defined(__x86_64__)
namespace avx2 {
bool decodeArithmetic(Decoder& d, const ptx::Statement& s, Instruction& in);
}
#endif

DecodeFunction arithmeticDecoder() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::decodeArithmetic;
#endif
  return baseline::decodeArithmetic;
}

}  // namespace gpusim
