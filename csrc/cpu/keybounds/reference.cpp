// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "cpu/keybounds/keybounds.h"
#include "cpu/kvcache/slots.h"
#include "cpu/rows.h"
#include "pagewarp/kv_codes.h"

namespace pw::cpu::reference {
namespace {

float keyElement(const pw_kv_layer& cache, int64_t slot, int64_t head, int64_t d) {
  const auto* row =
      static_cast<const uint8_t*>(cache.k.data) + slotOffset(cache.k, slot, head) * pw_dtype_size(cache.k.dtype);
  if (!pw_kv_is_codes(cache.type)) return static_cast<float>(readElement(row, cache.k.dtype, d));
  return pw_kv_decode(cache.type, row, d) *
         static_cast<const float*>(cache.kScale.data)[slotOffset(cache.kScale, slot, head)];
}

}  // namespace

void keyBounds(const pw_key_bounds_args& a, Context&) {
  const int64_t pageSize = a.cache.k.shape[1];
  for (int64_t i = 0; i < a.pages.shape[0]; ++i) {
    if (!hasPage(a, i)) continue;
    const int64_t page = listed(a.pages, i);
    for (int64_t head = 0; head < a.low.shape[1]; ++head)
      for (int64_t d = 0; d < a.low.shape[2]; ++d) {
        float low = std::numeric_limits<float>::infinity(), high = -low;
        for (int64_t token = 0; token < listed(a.counts, i); ++token) {
          const float x = keyElement(a.cache, page * pageSize + token, head, d);
          if (x < low || x != x) low = x;
          if (x > high || x != x) high = x;
        }
        boundsOf(a.low, page, head)[d] = low;
        boundsOf(a.high, page, head)[d] = high;
      }
  }
}

}  // namespace pw::cpu::reference
