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

/// What stands in for captured objects in a replay.
class Replacements {
 public:
  /// @param current for each of `captured` an object, or a list of which the number `at` picks one when the replay runs
  Replacements(const Napi::Array& captured, const Napi::Array& current, pw_tensor at) : at_(at) {
    for (uint32_t i = 0; i < captured.Length(); ++i) {
      Ref<RefCounted> replaced = unwrap<RefCounted>(captured.Get(i));
      const Napi::Value by = current.Get(i);
      if (!by.IsArray()) {
        fixed_.emplace_back(std::move(replaced), unwrap<RefCounted>(by));
        continue;
      }
      const auto list = by.As<Napi::Array>();
      std::vector<Ref<RefCounted>> variants;
      for (uint32_t j = 0; j < list.Length(); ++j) variants.push_back(unwrap<RefCounted>(list.Get(j)));
      chosen_.emplace_back(std::move(replaced), std::move(variants));
    }
  }

  Executor::Substitutions choose(Executor& executor) const {
    Executor::Substitutions all = fixed_;
    if (chosen_.empty()) return all;
    const int32_t number = executor.readIndex(at_);
    for (const auto& [captured, variants] : chosen_) {
      if (number < 0 || static_cast<size_t>(number) >= variants.size())
        throw Error(PW_INVALID_ARGUMENT, "number " + std::to_string(number) + " of " + std::to_string(variants.size()) +
                                             " plans was chosen on the device");
      all.emplace_back(captured, variants[static_cast<size_t>(number)]);
    }
    return all;
  }

 private:
  Executor::Substitutions fixed_;
  std::vector<std::pair<Ref<RefCounted>, std::vector<Ref<RefCounted>>>> chosen_;
  pw_tensor at_;
};

/// replay(stream, list, captured[], current[], at): the list's commands, with objects of `captured` replaced by
/// `current`, or by number at[0] of a list that is there.
Napi::Value replay(const Napi::CallbackInfo& info) {
  Call call(info);
  Ref<CommandList> list = call.object<CommandList>(1);
  const Replacements replacements(info[2].As<Napi::Array>(), info[3].As<Napi::Array>(), call.optionalTensor(4));
  const size_t count = list->events.size();
  if (CommandList* outer = call.stream().stream->capture.get()) {
    // The outer list's recordings include those of the inner one.
    const size_t first = outer->events.size();
    outer->events.insert(outer->events.end(), list->events.begin(), list->events.end());
    return call.enqueue("replay", [list, replacements, first, count](Executor& executor) {
      const auto begin = executor.recordings().begin() + static_cast<std::ptrdiff_t>(first);
      const Executor::Recordings scope(executor, {begin, begin + static_cast<std::ptrdiff_t>(count)});
      executor.replay(*list, replacements.choose(executor));
    });
  }
  std::vector<uint64_t> numbers;
  for (const Ref<Event>& event : list->events) {
    const auto recording = makeRef<Recording>(event, &call.stream().device->engine());
    numbers.push_back(recording->number());
    call.hold(recording);
  }
  return call.enqueue("replay", [list, replacements, numbers](Executor& executor) {
    const Executor::Recordings scope(executor, numbers);
    executor.replay(*list, replacements.choose(executor));
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
