// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <vector>

#include "node/kv_layer.h"
#include "node/register.h"

namespace pw::node {
namespace {

/// appendKv(stream, k, v, slots, type, kPool, vPool, kScale | null, vScale | null)
Napi::Value appendKv(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_append_kv_args a{};
  a.k = call.tensor(1);
  a.v = call.tensor(2);
  a.slots = call.tensor(3);
  a.cache = kvLayer(call, 4);
  return call.enqueue("appendKv", [a](Executor& executor) { executor.appendKv(a); });
}

/// ropeAppendKv(stream, q | null, qOut | null, table, pairing, k, v, slots, type, kPool, vPool, kScale | null, vScale |
/// null)
Napi::Value ropeAppendKv(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_rope_append_kv_args a{};
  a.q = call.optionalTensor(1);
  a.q_out = call.optionalTensor(2);
  a.table = call.tensor(3);
  a.pairing = static_cast<pw_rope_pairing>(call.integer(4));
  a.append.k = call.tensor(5);
  a.append.v = call.tensor(6);
  a.append.slots = call.tensor(7);
  a.append.cache = kvLayer(call, 8);
  return call.enqueue("ropeAppendKv", [a](Executor& executor) { executor.ropeAppendKv(a); });
}

/// keyBounds(stream, pages, counts, low, high, type, kPool, vPool, kScale | null, vScale | null)
Napi::Value keyBounds(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_key_bounds_args a{};
  a.pages = call.tensor(1);
  a.counts = call.tensor(2);
  a.low = call.tensor(3);
  a.high = call.tensor(4);
  a.cache = kvLayer(call, 5);
  return call.enqueue("keyBounds", [a](Executor& executor) { executor.keyBounds(a); });
}

/// gatherKv(stream, k, v, slots, type, kPool, vPool, kScale | null, vScale | null): k and v are outputs.
Napi::Value gatherKv(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_gather_kv_args a{};
  a.k = call.tensor(1);
  a.v = call.tensor(2);
  a.slots = call.tensor(3);
  a.cache = kvLayer(call, 4);
  return call.enqueue("gatherKv", [a](Executor& executor) { executor.gatherKv(a); });
}

/// All layers' pools, from the arguments that kvLayer reads.
pw_kv_pools kvPools(Call& call, size_t first) {
  const pw_kv_layer all = kvLayer(call, first);
  pw_kv_pools pools{};
  for (const pw_tensor& pool : {all.k, all.v, all.kScale, all.vScale})
    if (pool.data) pools.pools[pools.count++] = pool;
  return pools;
}

template <class T, class Array>
std::shared_ptr<const std::vector<T>> copyOf(const Napi::Value& value) {
  const Array array = value.As<Array>();
  return std::make_shared<const std::vector<T>>(array.Data(), array.Data() + array.ElementLength());
}

/// copyPages(stream, type, k, v, kScale | null, vScale | null, from: Int32Array, to: Int32Array)
Napi::Value copyPages(const Napi::CallbackInfo& info) {
  Call call(info);
  const pw_kv_pools pools = kvPools(call, 1);
  const auto from = copyOf<int32_t, Napi::Int32Array>(info[6]), to = copyOf<int32_t, Napi::Int32Array>(info[7]);
  return call.enqueue("copyPages", [pools, from, to](Executor& executor) {
    executor.copyPages({pools, static_cast<int32_t>(from->size()), from->data(), to->data()});
  });
}

/// moveSlots(stream, type, k, v, kScale | null, vScale | null, from: BigInt64Array, to: BigInt64Array)
Napi::Value moveSlots(const Napi::CallbackInfo& info) {
  Call call(info);
  const pw_kv_pools pools = kvPools(call, 1);
  const auto from = copyOf<int64_t, Napi::BigInt64Array>(info[6]), to = copyOf<int64_t, Napi::BigInt64Array>(info[7]);
  return call.enqueue("moveSlots", [pools, from, to](Executor& executor) {
    executor.moveSlots({pools, static_cast<int32_t>(from->size()), from->data(), to->data()});
  });
}

}  // namespace

void registerKvCacheOps(Napi::Env env, Napi::Object exports) {
  exports.Set("appendKv", Napi::Function::New(env, guarded<appendKv>));
  exports.Set("ropeAppendKv", Napi::Function::New(env, guarded<ropeAppendKv>));
  exports.Set("keyBounds", Napi::Function::New(env, guarded<keyBounds>));
  exports.Set("gatherKv", Napi::Function::New(env, guarded<gatherKv>));
  exports.Set("copyPages", Napi::Function::New(env, guarded<copyPages>));
  exports.Set("moveSlots", Napi::Function::New(env, guarded<moveSlots>));
}

}  // namespace pw::node
