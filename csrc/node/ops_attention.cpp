// SPDX-License-Identifier: Apache-2.0
#include "node/kv_layer.h"
#include "node/register.h"
#include "plan/attention_plan.h"

namespace pw::node {
namespace {

template <class Array, class T>
Span<T> spanOf(const Napi::Value& value) {
  if (value.IsUndefined()) return {};
  const Array array = value.As<Array>();
  static const T kNothing{};  // an empty array is given all the same
  const size_t bytes = array.ElementLength() * array.ElementSize();
  return {array.ElementLength() ? reinterpret_cast<const T*>(array.Data()) : &kNothing,
          static_cast<int64_t>(bytes / sizeof(T))};
}

/// The arrays belong to JavaScript: the result is for use before returning to it.
AttentionPlanInputs planInputs(const Napi::Object& o) {
  const auto integer = [&](const char* name) { return o.Get(name).As<Napi::Number>().Int32Value(); };
  AttentionPlanInputs in;
  in.queryLengths = spanOf<Napi::Int32Array, int32_t>(o.Get("queryLengths"));
  in.kvLengths = spanOf<Napi::Int32Array, int32_t>(o.Get("kvLengths"));
  in.pageBegin = spanOf<Napi::Int32Array, int32_t>(o.Get("pageBegin"));
  in.pages = spanOf<Napi::Int32Array, int32_t>(o.Get("pages"));
  in.segments = spanOf<Napi::Int32Array, AttentionSegment>(o.Get("segments"));
  in.prefixes = spanOf<Napi::Int32Array, AttentionPrefix>(o.Get("prefixes"));
  in.treeMasks = spanOf<Napi::BigUint64Array, uint64_t>(o.Get("treeMasks"));
  in.treeLengths = spanOf<Napi::Int32Array, int32_t>(o.Get("treeLengths"));
  in.customBits = spanOf<Napi::Uint8Array, uint8_t>(o.Get("customBits"));
  in.heads = integer("heads");
  in.kvHeads = integer("kvHeads");
  in.headDim = integer("headDim");
  in.pageSize = integer("pageSize");
  in.pagesInPool = integer("pagesInPool");
  in.causal = o.Get("causal").ToBoolean().Value();
  in.window = integer("window");
  in.sinkTokens = integer("sinkTokens");
  in.gpu = o.Get("gpu").ToBoolean().Value();
  in.workers = integer("workers");
  in.split = integer("split");
  in.splits = spanOf<Napi::Int32Array, int32_t>(o.Get("splits"));
  return in;
}

/// planAttention(inputs): the plan's handle and what JavaScript wants to know of it.
Napi::Value planAttention(const Napi::CallbackInfo& info) {
  const Ref<AttentionPlan> plan = makeRef<AttentionPlan>(planInputs(info[0].As<Napi::Object>()));
  const pw_attention_plan& view = plan->view();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("handle", wrapObject(info.Env(), plan));
  result.Set("rows", view.rows);
  result.Set("items", view.itemCount);
  result.Set("merges", view.mergeCount);
  result.Set("workspaceBytes", static_cast<double>(plan->workspaceBytes()));
  result.Set("kernels", plan->kernels());
  return result;
}

/// attentionWorkspaceBytes(inputs): what planAttention's workspaceBytes would be; `pages` are not looked at.
Napi::Value attentionWorkspaceBytes(const Napi::CallbackInfo& info) {
  const int64_t bytes = AttentionPlan::measureWorkspace(planInputs(info[0].As<Napi::Object>()));
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

/// attention(stream, plan, q, out, lse | null, alibiSlopes | null, sinks | null, workspace | null, scale, softCap,
/// type, kPool,
///           vPool, kScale | null, vScale | null)
Napi::Value attention(const Napi::CallbackInfo& info) {
  Call call(info);
  const Ref<AttentionPlan> plan = call.object<AttentionPlan>(1);
  pw_attention_args a{};
  a.q = call.tensor(2);
  a.out = call.tensor(3);
  a.lse = call.optionalTensor(4);
  a.alibiSlopes = call.optionalTensor(5);
  a.sinks = call.optionalTensor(6);
  a.workspace = call.optionalTensor(7);
  a.scale = static_cast<float>(call.number(8));
  a.softCap = static_cast<float>(call.number(9));
  a.cache = kvLayer(call, 10);
  return call.enqueue("attention", [a, plan](Executor& executor) mutable {
    a.plan = executor.resolve(plan).view();
    executor.attention(a);
  });
}

/// mergeStates(stream, outs, lses, out, lse | null)
Napi::Value mergeStates(const Napi::CallbackInfo& info) {
  Call call(info);
  pw_merge_states_args a{};
  a.outs = call.tensor(1);
  a.lses = call.tensor(2);
  a.out = call.tensor(3);
  a.lse = call.optionalTensor(4);
  return call.enqueue("mergeStates", [a](Executor& executor) { executor.mergeStates(a); });
}

}  // namespace

void registerAttentionOps(Napi::Env env, Napi::Object exports) {
  exports.Set("planAttention", Napi::Function::New(env, guarded<planAttention>));
  exports.Set("attentionWorkspaceBytes", Napi::Function::New(env, guarded<attentionWorkspaceBytes>));
  exports.Set("attention", Napi::Function::New(env, guarded<attention>));
  exports.Set("mergeStates", Napi::Function::New(env, guarded<mergeStates>));
}

}  // namespace pw::node
