// SPDX-License-Identifier: Apache-2.0
/// @file Addresses of slots and checks of slot numbers. `static`: see cpu/dispatch.h.
#pragma once
#include <string>

#include "cpu/context.h"
#include "pagewarp/kvcache.h"

namespace pw::cpu {

static inline int64_t slotOf(const pw_tensor& slots, int64_t row) {
  const int64_t at = row * slots.strides[0];
  return slots.dtype == PW_I64 ? static_cast<const int64_t*>(slots.data)[at]
                               : static_cast<const int32_t*>(slots.data)[at];
}

/// Element offset of a slot of one kv head in a pool of [pages, pageSize, kvHeads, ...].
static inline int64_t slotOffset(const pw_tensor& pool, int64_t slot, int64_t head) {
  return slot / pool.shape[1] * pool.strides[0] + slot % pool.shape[1] * pool.strides[1] + head * pool.strides[2];
}

/// One row of new keys or values, [rows, kvHeads, headDim].
static inline void* tokenRow(const pw_tensor& t, int64_t row, int64_t head) {
  return static_cast<char*>(t.data) + (row * t.strides[0] + head * t.strides[1]) * pw_dtype_size(t.dtype);
}

/// One row of the shape of `t`, in memory of its own: what would be row r of it, for any r.
static inline pw_tensor oneRow(const pw_tensor& t, void* data) {
  pw_tensor row = t;
  row.data = data;
  row.strides[0] = 0;
  row.strides[1] = t.shape[2];
  return row;
}

/// Reports slots outside the pool, once, before any row is touched.
void checkSlots(const char* op, const pw_tensor& slots, const pw_tensor& pool, Context& context);

static inline bool isSlot(const pw_tensor& pool, int64_t slot) {
  return slot >= 0 && slot < pool.shape[0] * pool.shape[1];
}

}  // namespace pw::cpu
