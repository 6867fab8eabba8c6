// SPDX-License-Identifier: Apache-2.0
/// @file Storing tokens is defined bit for bit: conversions round to nearest even; kv_codes.h defines codes.
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/kvcache/kvcache.h"
#include "cpu/kvcache/slots.h"
#include "cpu/rope/rotate.h"
#include "cpu/rows.h"
#include "pagewarp/kv_codes.h"

namespace pw::cpu::reference {
namespace {

void storeToken(const pw_tensor& tokens, int64_t row, int64_t head, pw_kv_type cache, const pw_tensor& pool,
                const pw_tensor& scales, int64_t slot) {
  const void* from = tokenRow(tokens, row, head);
  auto* to = static_cast<uint8_t*>(pool.data) + slotOffset(pool, slot, head) * pw_dtype_size(pool.dtype);
  const int64_t dim = tokens.shape[2];
  const auto element = [&](int64_t d) { return static_cast<float>(readElement(from, tokens.dtype, d)); };
  if (!pw_kv_is_codes(cache)) {
    for (int64_t d = 0; d < dim; ++d) writeElement(to, pool.dtype, d, element(d));
    return;
  }
  float largest = 0;
  bool finite = true;
  for (int64_t d = 0; d < dim; ++d) {
    finite = finite && std::isfinite(element(d));
    largest = std::fmax(largest, std::fabs(element(d)));
  }
  const float scale = finite ? largest / pw_kv_largest_code(cache) : std::numeric_limits<float>::quiet_NaN();
  for (int64_t d = 0; d < dim; ++d) {
    const uint32_t code = scale > 0 ? pw_kv_encode(cache, element(d) / scale) : 0;
    if (cache == PW_KV_I4)
      to[d / 2] = static_cast<uint8_t>(d % 2 == 0 ? code : to[d / 2] | code << 4);
    else
      to[d] = static_cast<uint8_t>(code);
  }
  static_cast<float*>(scales.data)[slotOffset(scales, slot, head)] = scale;
}

void loadToken(pw_kv_type cache, const pw_tensor& pool, const pw_tensor& scales, int64_t slot, const pw_tensor& tokens,
               int64_t row, int64_t head) {
  void* to = tokenRow(tokens, row, head);
  const bool present = isSlot(pool, slot);
  const auto* from =
      static_cast<const uint8_t*>(pool.data) + (present ? slotOffset(pool, slot, head) * pw_dtype_size(pool.dtype) : 0);
  for (int64_t d = 0; d < tokens.shape[2]; ++d) {
    double x = 0;
    if (present && pw_kv_is_codes(cache))
      x = pw_kv_decode(cache, from, d) * static_cast<const float*>(scales.data)[slotOffset(scales, slot, head)];
    else if (present)
      x = readElement(from, pool.dtype, d);
    writeElement(to, tokens.dtype, d, x);
  }
}

}  // namespace

void appendKv(const pw_append_kv_args& a, Context&) {
  for (int64_t row = 0; row < a.k.shape[0]; ++row) {
    const int64_t slot = slotOf(a.slots, row);
    if (!isSlot(a.cache.k, slot)) continue;
    for (int64_t head = 0; head < a.k.shape[1]; ++head) {
      storeToken(a.k, row, head, a.cache.type, a.cache.k, a.cache.kScale, slot);
      storeToken(a.v, row, head, a.cache.type, a.cache.v, a.cache.vScale, slot);
    }
  }
}

void ropeAppendKv(const pw_rope_append_kv_args& a, Context& context) {
  const pw_append_kv_args& to = a.append;
  std::vector<float> memory(static_cast<size_t>(to.k.shape[1] * to.k.shape[2]));
  const pw_tensor turned = oneRow(to.k, memory.data());
  for (int64_t row = 0; row < to.k.shape[0]; ++row) {
    if (a.q.data) rotateRow({a.q, a.q_out, a.table, a.pairing, row}, context);
    rotateRow({to.k, turned, a.table, a.pairing, row}, context);
    const int64_t slot = slotOf(to.slots, row);
    if (!isSlot(to.cache.k, slot)) continue;
    for (int64_t head = 0; head < to.k.shape[1]; ++head) {
      storeToken(turned, row, head, to.cache.type, to.cache.k, to.cache.kScale, slot);
      storeToken(to.v, row, head, to.cache.type, to.cache.v, to.cache.vScale, slot);
    }
  }
}

void gatherKv(const pw_gather_kv_args& a, Context&) {
  for (int64_t row = 0; row < a.k.shape[0]; ++row)
    for (int64_t head = 0; head < a.k.shape[1]; ++head) {
      loadToken(a.cache.type, a.cache.k, a.cache.kScale, slotOf(a.slots, row), a.k, row, head);
      loadToken(a.cache.type, a.cache.v, a.cache.vScale, slotOf(a.slots, row), a.v, row, head);
    }
}

}  // namespace pw::cpu::reference
