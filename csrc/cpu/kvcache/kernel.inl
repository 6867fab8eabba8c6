// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "cpu/kvcache/kvcache.h"
#include "cpu/kvcache/slots.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

constexpr int kLanes = Vec::kLanes;

template <class To, class From>
void convertRow(const From* from, To* to, int64_t dim) {
  int64_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) store(to + d, load(from + d));
  for (; d < dim; ++d) fromFloat(toFloat(from[d]), to + d);
}

/// See reference.cpp for what is stored.
template <class From>
float quantizeRow(const From* from, int8_t* to, int64_t dim) {
  float largest = 0.0f, zeros = 0.0f;
  for (int64_t d = 0; d < dim; ++d) {
    const float x = toFloat(from[d]), magnitude = x < 0.0f ? -x : x;
    zeros += x * 0.0f;
    largest = magnitude > largest ? magnitude : largest;
  }
  const float scale = zeros == 0.0f ? largest / 127.0f : std::numeric_limits<float>::quiet_NaN();
  for (int64_t d = 0; d < dim; ++d)
    to[d] = static_cast<int8_t>(scale > 0.0f ? std::nearbyintf(toFloat(from[d]) / scale) : 0.0f);
  return scale;
}

template <class From>
void storeToken(const From* from, const pw_tensor& pool, const pw_tensor& scales, int64_t slot, int64_t head) {
  const int64_t at = slotOffset(pool, slot, head), dim = pool.shape[3];
  if (pool.dtype == PW_I8) {
    static_cast<float*>(scales.data)[slotOffset(scales, slot, head)] =
        quantizeRow(from, static_cast<int8_t*>(pool.data) + at, dim);
    return;
  }
  dispatchFloat(pool.dtype, [&](auto* tag) { convertRow(from, static_cast<decltype(tag)>(pool.data) + at, dim); });
}

void storeAny(const pw_tensor& tokens, int64_t row, const pw_tensor& pool, const pw_tensor& scales, int64_t slot) {
  for (int64_t head = 0; head < tokens.shape[1]; ++head)
    dispatchFloat(tokens.dtype, [&](auto* tag) {
      storeToken(static_cast<const decltype(tag)>(tokenRow(tokens, row, head)), pool, scales, slot, head);
    });
}

template <class To>
void loadToken(const pw_tensor& pool, const pw_tensor& scales, int64_t slot, int64_t head, To* to) {
  const int64_t dim = pool.shape[3];
  if (!isSlot(pool, slot)) {
    for (int64_t d = 0; d < dim; ++d) fromFloat(0.0f, to + d);
    return;
  }
  const int64_t at = slotOffset(pool, slot, head);
  if (pool.dtype == PW_I8) {
    const int8_t* codes = static_cast<const int8_t*>(pool.data) + at;
    const float scale = static_cast<const float*>(scales.data)[slotOffset(scales, slot, head)];
    for (int64_t d = 0; d < dim; ++d) fromFloat(toFloat(codes[d]) * scale, to + d);
    return;
  }
  dispatchFloat(pool.dtype, [&](auto* tag) { convertRow(static_cast<const decltype(tag)>(pool.data) + at, to, dim); });
}

void loadAny(const pw_tensor& pool, const pw_tensor& scales, int64_t slot, const pw_tensor& tokens, int64_t row) {
  for (int64_t head = 0; head < tokens.shape[1]; ++head)
    dispatchFloat(tokens.dtype, [&](auto* tag) {
      loadToken(pool, scales, slot, head, static_cast<decltype(tag)>(tokenRow(tokens, row, head)));
    });
}

/// Rows worth a task of their own.
int64_t grainOf(const pw_tensor& tokens) { return 1 + 16384 / (tokens.shape[1] * tokens.shape[2] + 1); }

}  // namespace

void appendKv(const pw_append_kv_args& a, Context& context) {
  context.pool().forRange(a.k.shape[0], grainOf(a.k), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t slot = slotOf(a.slots, row);
      if (!isSlot(a.cache.k, slot)) continue;
      storeAny(a.k, row, a.cache.k, a.cache.kScale, slot);
      storeAny(a.v, row, a.cache.v, a.cache.vScale, slot);
    }
  });
}

void gatherKv(const pw_gather_kv_args& a, Context& context) {
  context.pool().forRange(a.k.shape[0], grainOf(a.k), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      loadAny(a.cache.k, a.cache.kScale, slotOf(a.slots, row), a.k, row);
      loadAny(a.cache.v, a.cache.vScale, slotOf(a.slots, row), a.v, row);
    }
  });
}

}  // namespace pw::cpu::PW_ISA
