// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "cpu/keybounds/keybounds.h"
#include "cpu/kvcache/cache_row.h"
#include "cpu/kvcache/slots.h"

namespace pw::cpu::PW_ISA {
namespace {

constexpr int kLanes = Vec::kLanes;

struct Bounds {
  Vec low{std::numeric_limits<float>::infinity()}, high{-std::numeric_limits<float>::infinity()};

  void add(Vec x) {
    low = select(lessThan(x, low), x, select(isNaN(x), x, low));
    high = select(lessThan(high, x), x, select(isNaN(x), x, high));
  }
};

template <class Cache>
void boundPage(const pw_key_bounds_args& a, int64_t page, int64_t count, int64_t head) {
  const pw_tensor &k = a.cache.k, &scales = a.cache.kScale;
  const int64_t dim = a.low.shape[2], first = page * k.shape[1];
  float *low = boundsOf(a.low, page, head), *high = boundsOf(a.high, page, head);
  for (int64_t d = 0; d < dim; d += kLanes) {
    const int64_t columns = dim - d < kLanes ? dim - d : kLanes;
    Bounds bounds;
    for (int64_t slot = first; slot < first + count; ++slot) {
      const auto row =
          Cache::rowAt(static_cast<const char*>(k.data) + slotOffset(k, slot, head) * pw_dtype_size(k.dtype));
      const Vec scale(scales.data ? static_cast<const float*>(scales.data)[slotOffset(scales, slot, head)] : 1.0f);
      bounds.add((columns == kLanes ? load(row + d) : loadPartial(row + d, columns)) * scale);
    }
    if (columns == kLanes) {
      store(low + d, bounds.low);
      store(high + d, bounds.high);
    } else {
      storePartial(low + d, bounds.low, columns);
      storePartial(high + d, bounds.high, columns);
    }
  }
}

}  // namespace

void keyBounds(const pw_key_bounds_args& a, Context& context) {
  const int64_t heads = a.low.shape[1], work = a.cache.k.shape[1] * a.low.shape[2];
  context.pool().forRange(a.pages.shape[0] * heads, 1 + 16384 / (work + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t i = task / heads;
      if (!hasPage(a, i)) continue;
      dispatchCache(a.cache.type, [&](auto cache) {
        boundPage<decltype(cache)>(a, listed(a.pages, i), listed(a.counts, i), task % heads);
      });
    }
  });
}

}  // namespace pw::cpu::PW_ISA
