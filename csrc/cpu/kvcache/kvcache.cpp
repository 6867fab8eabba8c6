// SPDX-License-Identifier: Apache-2.0
#include "cpu/kvcache/kvcache.h"

#include <cstring>
#include <string>

#include "cpu/kvcache/slots.h"

namespace pw::cpu {
namespace {

/// Copies one slot, all heads, within one layer of a pool of [layers, pages, pageSize, kvHeads(, headDim)].
void copySlot(const pw_tensor& pool, int64_t layer, int64_t from, int64_t to) {
  const int64_t pageSize = pool.shape[2], size = pw_dtype_size(pool.dtype);
  const int64_t length = pool.rank == 5 ? pool.shape[4] : 1;
  char* base = static_cast<char*>(pool.data) + layer * pool.strides[0] * size;
  const auto address = [&](int64_t slot, int64_t head) {
    return base +
           (slot / pageSize * pool.strides[1] + slot % pageSize * pool.strides[2] + head * pool.strides[3]) * size;
  };
  for (int64_t head = 0; head < pool.shape[3]; ++head)
    std::memcpy(address(to, head), address(from, head), static_cast<size_t>(length * size));
}

}  // namespace

void checkSlots(const char* op, const pw_tensor& slots, const pw_tensor& pool, Context& context) {
  for (int64_t row = 0; row < slots.shape[0]; ++row) {
    const int64_t slot = slotOf(slots, row);
    if (slot == -1 || isSlot(pool, slot)) continue;
    context.fail(PW_INVALID_ARGUMENT, std::string(op) + ": slots[" + std::to_string(row) + "] is " +
                                          std::to_string(slot) + ", but the pool has slots 0 to " +
                                          std::to_string(pool.shape[0] * pool.shape[1] - 1));
    return;
  }
}

void appendKv(const pw_append_kv_args& args, Context& context) {
  checkSlots("appendKv", args.slots, args.cache.k, context);
  PW_CPU_DISPATCH(appendKv, args, context)
}

void gatherKv(const pw_gather_kv_args& args, Context& context) {
  checkSlots("gatherKv", args.slots, args.cache.k, context);
  PW_CPU_DISPATCH(gatherKv, args, context)
}

void ropeAppendKv(const pw_rope_append_kv_args& args, Context& context) {
  checkSlots("ropeAppendKv", args.append.slots, args.append.cache.k, context);
  PW_CPU_DISPATCH(ropeAppendKv, args, context)
}

void copyPages(const pw_copy_pages_args& a, Context& context) {
  if (a.count == 0) return;
  const int64_t layers = a.cache.pools[0].shape[0];
  context.pool().run(layers * a.cache.count * a.count, [&](int64_t task, int) {
    const pw_tensor& pool = a.cache.pools[task / a.count % a.cache.count];
    const int64_t layer = task / a.count / a.cache.count, pair = task % a.count, pageSize = pool.shape[2];
    for (int64_t i = 0; i < pageSize; ++i)
      copySlot(pool, layer, a.from[pair] * pageSize + i, a.to[pair] * pageSize + i);
  });
}

void moveSlots(const pw_move_slots_args& a, Context& context) {
  if (a.count == 0) return;
  const int64_t layers = a.cache.pools[0].shape[0];
  context.pool().run(layers * a.cache.count, [&](int64_t task, int) {
    for (int32_t i = 0; i < a.count; ++i)
      if (a.from[i] != a.to[i]) copySlot(a.cache.pools[task % a.cache.count], task / a.cache.count, a.from[i], a.to[i]);
  });
}

}  // namespace pw::cpu
