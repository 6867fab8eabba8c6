// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <napi.h>

#include <string>

#include "core/error.h"
#include "core/ref.h"

namespace pw::node {

/// A JavaScript object that holds one reference to a native object. `externalBytes` is what V8 is told the object
/// weighs, so that the garbage collector feels native memory.
Napi::Object wrapObject(Napi::Env env, Ref<RefCounted> object, int64_t externalBytes = 0);

/// The wrapped object. Never null.
/// @throws Error(PW_DISPOSED) after dispose, Error(PW_INVALID_ARGUMENT) when the value is no handle of this addon
RefCounted* unwrapAny(const Napi::Value& value);

template <class T>
Ref<T> unwrap(const Napi::Value& value) {
  T* object = dynamic_cast<T*>(unwrapAny(value));
  if (!object) throw Error(PW_INVALID_ARGUMENT, "native handle of another kind than expected");
  return Ref<T>(object);
}

/// Drops the reference. Harmless when repeated.
void disposeHandle(const Napi::Value& value);

/// A JavaScript Error with the stable `code` of `status`.
Napi::Error makeError(Napi::Env env, pw_status status, const std::string& message);

/// A zeroed ArrayBuffer. V8's own native constructor ends the process when there is no memory for it.
/// @throws Error(PW_OUT_OF_MEMORY)
Napi::ArrayBuffer newArrayBuffer(Napi::Env env, size_t bytes);

/// Wraps a binding function so that native exceptions arrive in JavaScript with their code.
template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  try {
    return function(info);
  } catch (const Error& error) {
    throw makeError(info.Env(), error.status(), error.what());
  } catch (const std::bad_alloc&) {
    throw makeError(info.Env(), PW_OUT_OF_MEMORY, "out of host memory");
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw makeError(info.Env(), PW_INTERNAL, error.what());
  }
}

}  // namespace pw::node
