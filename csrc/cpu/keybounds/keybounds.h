// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cpu/dispatch.h"
#include "pagewarp/key_bounds.h"

namespace pw::cpu {

PW_CPU_DECLARE(keyBounds, pw_key_bounds_args)
void keyBounds(const pw_key_bounds_args& args, Context& context);

/// Element i of a list of pages or of counts.
static inline int64_t listed(const pw_tensor& list, int64_t i) {
  return static_cast<const int32_t*>(list.data)[i * list.strides[0]];
}

static inline bool hasPage(const pw_key_bounds_args& a, int64_t i) {
  const int64_t page = listed(a.pages, i), count = listed(a.counts, i);
  return page >= 0 && page < a.cache.k.shape[0] && count >= 0 && count <= a.cache.k.shape[1];
}

/// The bounds of one page and kv head.
static inline float* boundsOf(const pw_tensor& bounds, int64_t page, int64_t head) {
  return static_cast<float*>(bounds.data) + page * bounds.strides[0] + head * bounds.strides[1];
}

}  // namespace pw::cpu
