// SPDX-License-Identifier: Apache-2.0
#include "node/call.h"
#include "node/register.h"

namespace pw::node {
namespace {

/// synchronize(stream): Promise<void>; rejects with the first unreported error of the stream.
Napi::Value synchronize(const Napi::CallbackInfo& info) {
  Ref<StreamObject> stream = unwrap<StreamObject>(info[0]);
  return enqueueWithPromise(info.Env(), *stream, Command{"synchronize", {}, nullptr}, info.Env().Undefined());
}

/// beginCapture(stream)
Napi::Value beginCapture(const Napi::CallbackInfo& info) {
  Ref<StreamObject> stream = unwrap<StreamObject>(info[0]);
  if (stream->stream->capture) throw Error(PW_INVALID_ARGUMENT, "the stream is being captured already");
  stream->stream->capture = makeRef<CommandList>();
  return info.Env().Undefined();
}

/// endCapture(stream): the command list's handle.
Napi::Value endCapture(const Napi::CallbackInfo& info) {
  Ref<StreamObject> stream = unwrap<StreamObject>(info[0]);
  Ref<CommandList> list = std::move(stream->stream->capture);
  if (!list) throw Error(PW_INVALID_ARGUMENT, "the stream is not being captured");
  return wrapObject(info.Env(), list);
}

/// replay(stream, list, captured[], current[]): the list's commands, with objects of `captured` replaced by `current`.
Napi::Value replay(const Napi::CallbackInfo& info) {
  Call call(info);
  Ref<CommandList> list = call.object<CommandList>(1);
  const Napi::Array captured = info[2].As<Napi::Array>(), current = info[3].As<Napi::Array>();
  Executor::Substitutions substitutions;
  for (uint32_t i = 0; i < captured.Length(); ++i)
    substitutions.emplace_back(unwrap<RefCounted>(captured.Get(i)), unwrap<RefCounted>(current.Get(i)));
  return call.enqueue("replay", [list, substitutions](Executor& executor) { executor.replay(*list, substitutions); });
}

/// createEvent()
Napi::Value createEvent(const Napi::CallbackInfo& info) { return wrapObject(info.Env(), makeRef<Event>()); }

/// recordEvent(stream, event)
Napi::Value recordEvent(const Napi::CallbackInfo& info) {
  Call call(info);
  Ref<Event> event = call.object<Event>(1);
  call.stream().device->engine().requireOpen("recordEvent");  // nobody shall wait for what cannot come
  const uint64_t recording = event->begin(&call.stream().device->engine());
  return call.enqueue("recordEvent",
                      [event, recording](Executor& executor) { executor.recordEvent(event, recording); });
}

/// waitEvent(stream, event)
Napi::Value waitEvent(const Napi::CallbackInfo& info) {
  Call call(info);
  Ref<Event> event = call.object<Event>(1);
  Ref<Device> device = call.stream().device;
  const Engine* recorder = nullptr;
  const uint64_t recording = event->lastRecording(&recorder);
  Engine* engine = &device->engine();
  return call.enqueue("waitEvent", [event, recording, engine, recordedHere = recorder == engine](Executor& executor) {
    executor.waitEvent(event, recording, recordedHere, engine->cancelled());
  });
}

/// eventDone(event)
Napi::Value eventDone(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), unwrap<Event>(info[0])->done());
}

/// eventElapsed(start, end): seconds, once both are done.
Napi::Value eventElapsed(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Event::elapsed(*unwrap<Event>(info[0]), *unwrap<Event>(info[1])));
}

}  // namespace

void registerStream(Napi::Env env, Napi::Object exports) {
  exports.Set("synchronize", Napi::Function::New(env, guarded<synchronize>));
  exports.Set("beginCapture", Napi::Function::New(env, guarded<beginCapture>));
  exports.Set("endCapture", Napi::Function::New(env, guarded<endCapture>));
  exports.Set("replay", Napi::Function::New(env, guarded<replay>));
  exports.Set("createEvent", Napi::Function::New(env, guarded<createEvent>));
  exports.Set("recordEvent", Napi::Function::New(env, guarded<recordEvent>));
  exports.Set("waitEvent", Napi::Function::New(env, guarded<waitEvent>));
  exports.Set("eventDone", Napi::Function::New(env, guarded<eventDone>));
  exports.Set("eventElapsed", Napi::Function::New(env, guarded<eventElapsed>));
}

}  // namespace pw::node
