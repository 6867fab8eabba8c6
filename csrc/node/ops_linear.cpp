// SPDX-License-Identifier: Apache-2.0
#include "core/matrix/packed_matrix.h"
#include "node/call.h"
#include "node/register.h"

namespace pw::node {
namespace {

/// Rows of x are read for several rows of the result, in any order.
void requireApart(const pw_tensor& x, const pw_tensor& out) {
  if (mayOverlap(x, out)) throw Error(PW_INVALID_ARGUMENT, "out shares memory with x, but must be other memory than x");
}

/// linear(stream, x, weight, bias | null, residual | null, out, gated, int8, xScales | null, xSums | null)
Napi::Value linear(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_linear_args a{};
  a.x = call.tensor(1);
  a.weight = call.object<PackedMatrix>(2)->view();
  a.bias = call.optionalTensor(3);
  a.residual = call.optionalTensor(4);
  a.out = call.tensor(5);
  a.gated = call.flag(6);
  a.int8 = call.flag(7);
  a.x_scales = call.optionalTensor(8);
  a.x_sums = call.optionalTensor(9);
  requireApart(a.x, a.out);
  return call.enqueue("linear", [a](Executor& executor) { executor.linear(a); });
}

/// embedding(stream, ids, weight, out)
Napi::Value embedding(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_embedding_args a{};
  a.ids = call.tensor(1);
  a.weight = call.object<PackedMatrix>(2)->view();
  a.out = call.tensor(3);
  return call.enqueue("embedding", [a](Executor& executor) { executor.embedding(a); });
}

/// gatherRows(stream, x, indices, out)
Napi::Value gatherRows(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_gather_rows_args a{};
  a.x = call.tensor(1);
  a.indices = call.tensor(2);
  a.out = call.tensor(3);
  requireApart(a.x, a.out);
  return call.enqueue("gatherRows", [a](Executor& executor) { executor.gatherRows(a); });
}

}  // namespace

void registerLinearOps(Napi::Env env, Napi::Object exports) {
  exports.Set("linear", Napi::Function::New(env, guarded<linear>));
  exports.Set("embedding", Napi::Function::New(env, guarded<embedding>));
  exports.Set("gatherRows", Napi::Function::New(env, guarded<gatherRows>));
}

}  // namespace pw::node
