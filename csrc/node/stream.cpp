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
  const size_t count = list->events.size();
  if (CommandList* outer = call.stream().stream->capture.get()) {
    // The outer list's recordings include those of the inner one.
    const size_t first = outer->events.size();
    outer->events.insert(outer->events.end(), list->events.begin(), list->events.end());
    return call.enqueue("replay", [list, substitutions, first, count](Executor& executor) {
      const auto begin = executor.recordings().begin() + static_cast<std::ptrdiff_t>(first);
      const Executor::Recordings scope(executor, {begin, begin + static_cast<std::ptrdiff_t>(count)});
      executor.replay(*list, substitutions);
    });
  }
  std::vector<uint64_t> numbers;
  for (const Ref<Event>& event : list->events) {
    const auto recording = makeRef<Recording>(event, &call.stream().device->engine());
    numbers.push_back(recording->number());
    call.hold(recording);
  }
  return call.enqueue("replay", [list, substitutions, numbers](Executor& executor) {
    const Executor::Recordings scope(executor, numbers);
    executor.replay(*list, substitutions);
  });
}

/// createEvent()
Napi::Value createEvent(const Napi::CallbackInfo& info) { return wrapObject(info.Env(), makeRef<Event>()); }

/// recordEvent(stream, event). In a capture nothing is recorded yet: every replay makes a recording.
Napi::Value recordEvent(const Napi::CallbackInfo& info) {
  Call call(info);
  Ref<Event> event = call.object<Event>(1);
  if (CommandList* list = call.stream().stream->capture.get()) {
    const size_t index = list->events.size();
    list->events.push_back(event);
    return call.enqueue("recordEvent", [event, index](Executor& executor) {
      executor.recordEvent(event, executor.recordings()[index]);
    });
  }
  const auto recording = makeRef<Recording>(event, &call.stream().device->engine());
  call.hold(recording);
  return call.enqueue("recordEvent", [event, number = recording->number()](Executor& executor) {
    executor.recordEvent(event, number);
  });
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
