// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstring>

#include "decompress.h"

namespace gpusim {
namespace {

// Lengths of 15 and more go on in further bytes, each adding up to 255.
bool extendLength(const uint8_t*& in, const uint8_t* end, size_t& length) {
  if (length != 15) return true;
  uint8_t more = 255;
  while (more == 255) {
    if (in == end) return false;
    more = *in++;
    length += more;
  }
  return true;
}

}  // namespace

bool decompressLz4(std::string_view input, char* output, size_t size) {
  const auto* in = reinterpret_cast<const uint8_t*>(input.data());
  const uint8_t* const inEnd = in + input.size();
  char* out = output;
  char* const outEnd = output + size;
  while (in < inEnd) {
    const uint8_t token = *in++;
    size_t literals = token >> 4;
    if (!extendLength(in, inEnd, literals)) return false;
    if (literals > static_cast<size_t>(inEnd - in) || literals > static_cast<size_t>(outEnd - out)) return false;
    std::memcpy(out, in, literals);
    in += literals;
    out += literals;
    if (in == inEnd) break;  // the last sequence has no match
    if (inEnd - in < 2) return false;
    const size_t distance = in[0] | in[1] << 8;
    in += 2;
    size_t length = token & 15;
    if (!extendLength(in, inEnd, length)) return false;
    length += 4;
    if (distance == 0 || distance > static_cast<size_t>(out - output) || length > static_cast<size_t>(outEnd - out))
      return false;
    for (; length > 0; --length, ++out) *out = out[-static_cast<ptrdiff_t>(distance)];  // may overlap
  }
  return out == outEnd;
}

}  // namespace gpusim
