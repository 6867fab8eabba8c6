// SPDX-License-Identifier: Apache-2.0
/// @file Storing tokens is defined bit for bit: conversions round to nearest even; int8 takes scale = max|x| / 127 and
/// code = x / scale, both in f32. A row with a NaN or infinity gets scale NaN, so that it poisons what attends to it.
#include <cmath>
#include <limits>

#include "cpu/kvcache/kvcache.h"
#include "cpu/kvcache/slots.h"
#include "cpu/rows.h"

namespace pw::cpu::reference {
namespace {

void storeToken(const void* from, pw_dtype type, const pw_tensor& pool, const pw_tensor& scales, int64_t slot,
                int64_t head) {
  void* to = static_cast<char*>(pool.data) + slotOffset(pool, slot, head) * pw_dtype_size(pool.dtype);
  const int64_t dim = pool.shape[3];
  if (pool.dtype != PW_I8) {
    for (int64_t d = 0; d < dim; ++d) writeElement(to, pool.dtype, d, readElement(from, type, d));
    return;
  }
  float largest = 0;
  bool finite = true;
  for (int64_t d = 0; d < dim; ++d) {
    const float x = static_cast<float>(readElement(from, type, d));
    finite = finite && std::isfinite(x);
    largest = std::fmax(largest, std::fabs(x));
  }
  const float scale = finite ? largest / 127.0f : std::numeric_limits<float>::quiet_NaN();
  for (int64_t d = 0; d < dim; ++d) {
    const float x = static_cast<float>(readElement(from, type, d));
    writeElement(to, PW_I8, d, scale > 0 ? std::nearbyint(x / scale) : 0.0f);
  }
  static_cast<float*>(scales.data)[slotOffset(scales, slot, head)] = scale;
}

void loadToken(const pw_tensor& pool, const pw_tensor& scales, int64_t slot, int64_t head, void* to, pw_dtype type) {
  const bool present = isSlot(pool, slot);
  const int64_t at = present ? slotOffset(pool, slot, head) : 0;
  const float scale =
      present && scales.data ? static_cast<const float*>(scales.data)[slotOffset(scales, slot, head)] : 1.0f;
  for (int64_t d = 0; d < pool.shape[3]; ++d)
    writeElement(to, type, d, present ? static_cast<float>(readElement(pool.data, pool.dtype, at + d)) * scale : 0.0f);
}

}  // namespace

void appendKv(const pw_append_kv_args& a, Context&) {
  for (int64_t row = 0; row < a.k.shape[0]; ++row) {
    const int64_t slot = slotOf(a.slots, row);
    if (!isSlot(a.cache.k, slot)) continue;
    for (int64_t head = 0; head < a.k.shape[1]; ++head) {
      storeToken(tokenRow(a.k, row, head), a.k.dtype, a.cache.k, a.cache.kScale, slot, head);
      storeToken(tokenRow(a.v, row, head), a.v.dtype, a.cache.v, a.cache.vScale, slot, head);
    }
  }
}

void gatherKv(const pw_gather_kv_args& a, Context&) {
  for (int64_t row = 0; row < a.k.shape[0]; ++row)
    for (int64_t head = 0; head < a.k.shape[1]; ++head) {
      loadToken(a.cache.k, a.cache.kScale, slotOf(a.slots, row), head, tokenRow(a.k, row, head), a.k.dtype);
      loadToken(a.cache.v, a.cache.vScale, slotOf(a.slots, row), head, tokenRow(a.v, row, head), a.v.dtype);
    }
}

}  // namespace pw::cpu::reference
