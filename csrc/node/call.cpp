// SPDX-License-Identifier: Apache-2.0
#include "node/call.h"

#include <memory>

#include "node/environment.h"

namespace pw::node {

Call::Call(const Napi::CallbackInfo& info) : info_(info), stream_(unwrap<StreamObject>(info[0])) {}

pw_tensor Call::tensor(size_t index) {
  Ref<Tensor> tensor = unwrap<Tensor>(info_[index]);
  hold(tensor->storage());
  return tensor->view();
}

bool Call::given(size_t index) const { return !info_[index].IsNull() && !info_[index].IsUndefined(); }

pw_tensor Call::optionalTensor(size_t index) { return given(index) ? tensor(index) : pw_tensor{}; }

double Call::number(size_t index) const {
  if (!info_[index].IsNumber()) throw Error(PW_INVALID_ARGUMENT, "native argument is not a number");
  return info_[index].As<Napi::Number>().DoubleValue();
}

int64_t Call::integer(size_t index) const { return static_cast<int64_t>(number(index)); }

bool Call::flag(size_t index) const { return info_[index].ToBoolean().Value(); }

std::string Call::text(size_t index) const {
  if (!info_[index].IsString()) throw Error(PW_INVALID_ARGUMENT, "native argument is not a string");
  return info_[index].As<Napi::String>().Utf8Value();
}

Napi::Value Call::submit(Command command) {
  if (stream_->stream->capture)
    stream_->stream->capture->commands.push_back(std::move(command));
  else
    stream_->device->engine().submit(stream_->stream, std::move(command));
  return env().Undefined();
}

Napi::Value enqueueWithPromise(Napi::Env env, StreamObject& object, Command command, Napi::Value value) {
  if (object.stream->capture)
    throw Error(PW_INVALID_ARGUMENT, std::string(command.name) + " cannot be captured: it waits for the stream");
  object.device->engine().requireOpen(command.name);
  Environment& environment = Environment::of(env);
  Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  auto kept = std::make_shared<Napi::Reference<Napi::Value>>(Napi::Reference<Napi::Value>());
  if (value.IsObject()) *kept = Napi::Reference<Napi::Value>::New(value, 1);

  Ref<Stream> stream = object.stream;
  auto settle = [deferred, kept, &environment](Napi::Env settleEnv, pw_status status, const std::string& message) {
    environment.promiseSettled();
    Napi::Value result = kept->IsEmpty() ? settleEnv.Undefined() : kept->Value();
    kept->Reset();
    if (status == PW_OK)
      deferred.Resolve(result);
    else
      deferred.Reject(makeError(settleEnv, status, message).Value());
  };
  // Posted from the destructor of the last copy, not from inside run(): the settling happens whether the command ran,
  // threw or was dropped with the queue. The error is taken here and not by the JavaScript thread, before which later
  // commands of the stream may have failed, too.
  auto completion = std::shared_ptr<void>(nullptr, [settle, stream, &environment](void*) {
    std::string message;
    const pw_status status = stream->takeError(&message);
    environment.post([settle, status, message](Napi::Env settleEnv) { settle(settleEnv, status, message); });
  });
  Command marked{command.name, std::move(command.holds), nullptr, true};
  marked.run = [run = std::move(command.run), completion](Executor& executor) {
    if (run) run(executor);
  };
  completion.reset();
  environment.promiseOpened();
  object.device->engine().submit(stream, std::move(marked));
  return deferred.Promise();
}

}  // namespace pw::node
