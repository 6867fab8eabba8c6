// SPDX-License-Identifier: Apache-2.0
#include "core/executor.h"
#include "node/call.h"
#include "node/register.h"

namespace pw::node {
namespace {

/// gram(stream, x, sums)
Napi::Value gram(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_gram_args a{};
  a.x = call.tensor(1);
  a.gram = call.tensor(2);
  return call.enqueue("gram", [a](Executor& executor) { executor.gram(a); });
}

/// quantizeWeights(stream, weight, gram | null, grid, compensate, damping, blocks, levels | null, error)
Napi::Value quantizeWeights(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_quantizer_args a{};
  a.weight = call.tensor(1);
  a.gram = call.optionalTensor(2);
  a.grid = static_cast<pw_grid>(call.integer(3));
  a.compensate = call.flag(4);
  a.damping = call.number(5);
  a.blocks = call.tensor(6);
  a.levels = call.optionalTensor(7);
  a.error = call.tensor(8);
  return call.enqueue("quantizeWeights", [a](Executor& executor) { executor.quantizeWeights(a); });
}

}  // namespace

void registerQuantizer(Napi::Env env, Napi::Object exports) {
  exports.Set("gram", Napi::Function::New(env, guarded<gram>));
  exports.Set("quantizeWeights", Napi::Function::New(env, guarded<quantizeWeights>));
}

}  // namespace pw::node
