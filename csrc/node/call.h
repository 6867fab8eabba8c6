// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <napi.h>

#include <string>
#include <vector>

#include "core/device.h"
#include "node/handle.h"

namespace pw::node {

/// What a stream handle wraps: the stream, and the device that serves it.
class StreamObject final : public RefCounted {
 public:
  StreamObject(Ref<Device> device, Ref<Stream> stream) : device(std::move(device)), stream(std::move(stream)) {}
  const Ref<Device> device;
  const Ref<Stream> stream;
};

/// Reads the arguments of an op's binding and enqueues its command. Whatever was read through it stays alive until the
/// command has run. Shapes and values were checked in lib/ops; here only the kinds of handles are.
class Call {
 public:
  /// The first argument is the stream.
  explicit Call(const Napi::CallbackInfo& info);

  Napi::Env env() const { return info_.Env(); }
  StreamObject& stream() const { return *stream_; }

  pw_tensor tensor(size_t index);
  /// `data` is null when the argument is null or undefined.
  pw_tensor optionalTensor(size_t index);
  double number(size_t index) const;
  int64_t integer(size_t index) const;
  bool flag(size_t index) const;
  std::string text(size_t index) const;
  bool given(size_t index) const;

  template <class T>
  Ref<T> object(size_t index) {
    Ref<T> ref = unwrap<T>(info_[index]);
    hold(ref);
    return ref;
  }

  void hold(Ref<RefCounted> object) { holds_.push_back(std::move(object)); }

  /// Enqueues (or, while capturing, records) run(Executor&). Returns undefined.
  template <class F>
  Napi::Value enqueue(const char* name, F&& run) {
    return submit(Command{name, std::move(holds_), std::forward<F>(run)});
  }

 private:
  Napi::Value submit(Command command);

  const Napi::CallbackInfo& info_;
  Ref<StreamObject> stream_;
  std::vector<Ref<RefCounted>> holds_;
};

/// Enqueues `command` and returns a promise. It settles when the stream has got that far: rejected with the stream's
/// first unreported error if there is one, else resolved with `value` (kept alive until then).
Napi::Value enqueueWithPromise(Napi::Env env, StreamObject& stream, Command command, Napi::Value value);

}  // namespace pw::node
