// SPDX-License-Identifier: Apache-2.0
#include "node/call.h"
#include "node/register.h"

namespace pw::node {
namespace {

/// rmsNorm(stream, x, weight, residual | null, out, eps, scales | null, sums | null)
Napi::Value rmsNorm(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_rmsnorm_args a{};
  a.x = call.tensor(1);
  a.weight = call.tensor(2);
  a.residual = call.optionalTensor(3);
  a.out = call.tensor(4);
  a.eps = static_cast<float>(call.number(5));
  a.scales = call.optionalTensor(6);
  a.sums = call.optionalTensor(7);
  return call.enqueue("rmsNorm", [a](Executor& executor) { executor.rmsNorm(a); });
}

}  // namespace

void registerNormOps(Napi::Env env, Napi::Object exports) {
  exports.Set("rmsNorm", Napi::Function::New(env, guarded<rmsNorm>));
}

}  // namespace pw::node
