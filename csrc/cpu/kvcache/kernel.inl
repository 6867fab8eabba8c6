// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "cpu/kvcache/cache_row.h"
#include "cpu/kvcache/kvcache.h"
#include "cpu/kvcache/slots.h"
#include "cpu/rope/rotate.h"

namespace pw::cpu::PW_ISA {
namespace {

constexpr int kLanes = Vec::kLanes;

template <class To, class From>
void convertRow(From from, To* to, float scale, int64_t dim) {
  int64_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) store(to + d, load(from + d) * Vec(scale));
  if (d < dim) storePartial(to + d, loadPartial(from + d, dim - d) * Vec(scale), dim - d);
}

/// See kv_codes.h for what is stored.
template <class From>
float quantizeRow(pw_kv_type type, const From* from, uint8_t* to, int64_t dim) {
  float largest = 0.0f, zeros = 0.0f;
  for (int64_t d = 0; d < dim; ++d) {
    const float x = toFloat(from[d]), magnitude = x < 0.0f ? -x : x;
    zeros += x * 0.0f;
    largest = magnitude > largest ? magnitude : largest;
  }
  const float scale = zeros == 0.0f ? largest / pw_kv_largest_code(type) : std::numeric_limits<float>::quiet_NaN();
  const auto code = [&](int64_t d) { return scale > 0.0f ? pw_kv_encode(type, toFloat(from[d]) / scale) : 0u; };
  if (type == PW_KV_I4)
    for (int64_t d = 0; d < dim; d += 2) to[d / 2] = static_cast<uint8_t>(code(d) | code(d + 1) << 4);
  else
    for (int64_t d = 0; d < dim; ++d) to[d] = static_cast<uint8_t>(code(d));
  return scale;
}

/// One pool of a layer, and the scales of its codes.
struct Pool {
  pw_kv_type type;
  const pw_tensor& data;
  const pw_tensor& scales;

  char* row(int64_t slot, int64_t head) const {
    return static_cast<char*>(data.data) + slotOffset(data, slot, head) * pw_dtype_size(data.dtype);
  }
  float* scale(int64_t slot, int64_t head) const {
    return static_cast<float*>(scales.data) + slotOffset(scales, slot, head);
  }
};

template <class From>
void storeToken(const From* from, const Pool& pool, int64_t slot, int64_t head, int64_t dim) {
  char* to = pool.row(slot, head);
  if (pw_kv_is_codes(pool.type)) {
    *pool.scale(slot, head) = quantizeRow(pool.type, from, reinterpret_cast<uint8_t*>(to), dim);
    return;
  }
  dispatchFloat(pool.data.dtype, [&](auto* tag) { convertRow(from, reinterpret_cast<decltype(tag)>(to), 1.0f, dim); });
}

void storeAny(const pw_tensor& tokens, int64_t row, const Pool& pool, int64_t slot) {
  for (int64_t head = 0; head < tokens.shape[1]; ++head)
    dispatchFloat(tokens.dtype, [&](auto* tag) {
      storeToken(static_cast<const decltype(tag)>(tokenRow(tokens, row, head)), pool, slot, head, tokens.shape[2]);
    });
}

template <class To>
void loadToken(const Pool& pool, int64_t slot, int64_t head, To* to, int64_t dim) {
  if (!isSlot(pool.data, slot)) {
    for (int64_t d = 0; d < dim; ++d) fromFloat(0.0f, to + d);
    return;
  }
  const float scale = pw_kv_is_codes(pool.type) ? *pool.scale(slot, head) : 1.0f;
  dispatchCache(pool.type,
                [&](auto cache) { convertRow(decltype(cache)::rowAt(pool.row(slot, head)), to, scale, dim); });
}

void loadAny(const Pool& pool, int64_t slot, const pw_tensor& tokens, int64_t row) {
  for (int64_t head = 0; head < tokens.shape[1]; ++head)
    dispatchFloat(tokens.dtype, [&](auto* tag) {
      loadToken(pool, slot, head, static_cast<decltype(tag)>(tokenRow(tokens, row, head)), tokens.shape[2]);
    });
}

Pool keysOf(const pw_kv_layer& layer) { return {layer.type, layer.k, layer.kScale}; }
Pool valuesOf(const pw_kv_layer& layer) { return {layer.type, layer.v, layer.vScale}; }

/// Rows worth a task of their own.
int64_t grainOf(const pw_tensor& tokens) { return 1 + 16384 / (tokens.shape[1] * tokens.shape[2] + 1); }

}  // namespace

void appendKv(const pw_append_kv_args& a, Context& context) {
  context.pool().forRange(a.k.shape[0], grainOf(a.k), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t slot = slotOf(a.slots, row);
      if (!isSlot(a.cache.k, slot)) continue;
      storeAny(a.k, row, keysOf(a.cache), slot);
      storeAny(a.v, row, valuesOf(a.cache), slot);
    }
  });
}

void ropeAppendKv(const pw_rope_append_kv_args& a, Context& context) {
  const pw_append_kv_args& to = a.append;
  const size_t rowBytes = static_cast<size_t>(to.k.shape[1] * to.k.shape[2]) * sizeof(float);
  context.pool().forRange(to.k.shape[0], grainOf(to.k), [&](int64_t begin, int64_t end, int worker) {
    const pw_tensor turned = oneRow(to.k, context.scratch(worker, rowBytes));
    for (int64_t row = begin; row < end; ++row) {
      if (a.q.data) rotateRow({a.q, a.q_out, a.table, a.pairing, row}, context);
      const int64_t slot = slotOf(to.slots, row);
      if (!isSlot(to.cache.k, slot)) continue;
      rotateRow({to.k, turned, a.table, a.pairing, row}, context);
      storeAny(turned, row, keysOf(to.cache), slot);
      storeAny(to.v, row, valuesOf(to.cache), slot);
    }
  });
}

void gatherKv(const pw_gather_kv_args& a, Context& context) {
  context.pool().forRange(a.k.shape[0], grainOf(a.k), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      loadAny(keysOf(a.cache), slotOf(a.slots, row), a.k, row);
      loadAny(valuesOf(a.cache), slotOf(a.slots, row), a.v, row);
    }
  });
}

}  // namespace pw::cpu::PW_ISA
