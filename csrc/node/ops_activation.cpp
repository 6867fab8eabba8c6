// SPDX-License-Identifier: Apache-2.0
#include "node/call.h"
#include "node/register.h"

namespace pw::node {
namespace {

/// gated(stream, gate, up, out, activation)
Napi::Value gated(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_gated_args a{};
  a.gate = call.tensor(1);
  a.up = call.tensor(2);
  a.out = call.tensor(3);
  a.activation = static_cast<pw_activation>(call.integer(4));
  return call.enqueue("gated", [a](Executor& executor) { executor.gated(a); });
}

}  // namespace

void registerActivationOps(Napi::Env env, Napi::Object exports) {
  exports.Set("gated", Napi::Function::New(env, guarded<gated>));
}

}  // namespace pw::node
