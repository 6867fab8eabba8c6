// SPDX-License-Identifier: Apache-2.0
#include "node/call.h"
#include "node/register.h"

namespace pw::node {
namespace {

/// ropeTable(stream, positions, frequencies, table, magnitude)
Napi::Value ropeTable(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_rope_table_args a{};
  a.positions = call.tensor(1);
  a.frequencies = call.tensor(2);
  a.table = call.tensor(3);
  a.magnitude = static_cast<float>(call.number(4));
  return call.enqueue("ropeTable", [a](Executor& executor) { executor.ropeTable(a); });
}

/// rope(stream, q, qOut, k | null, kOut | null, table, pairing)
Napi::Value rope(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_rope_args a{};
  a.q = call.tensor(1);
  a.q_out = call.tensor(2);
  a.k = call.optionalTensor(3);
  a.k_out = call.optionalTensor(4);
  a.table = call.tensor(5);
  a.pairing = static_cast<pw_rope_pairing>(call.integer(6));
  return call.enqueue("rope", [a](Executor& executor) { executor.rope(a); });
}

}  // namespace

void registerRopeOps(Napi::Env env, Napi::Object exports) {
  exports.Set("ropeTable", Napi::Function::New(env, guarded<ropeTable>));
  exports.Set("rope", Napi::Function::New(env, guarded<rope>));
}

}  // namespace pw::node
