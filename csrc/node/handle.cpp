// SPDX-License-Identifier: Apache-2.0
#include "node/handle.h"

#include <memory>

namespace pw::node {
namespace {

/// Distinguishes our objects from any other addon's, and from a second copy of this one in the same process.
constexpr napi_type_tag kTag = {0x7061676577617270ull, 0x9d1b5f5c2e0c4a31ull};

struct Box {
  Ref<RefCounted> object;
  int64_t externalBytes;
};

void release(Napi::Env env, Box* box) {
  if (!box->object) return;
  box->object.reset();
  if (box->externalBytes) Napi::MemoryManagement::AdjustExternalMemory(env, -box->externalBytes);
}

Box* boxOf(const Napi::Value& value) {
  bool ours = false;
  void* data = nullptr;
  if (value.IsObject()) napi_check_object_type_tag(value.Env(), value, &kTag, &ours);
  if (!ours || napi_unwrap(value.Env(), value, &data) != napi_ok)
    throw Error(PW_INVALID_ARGUMENT, "expected a native pagewarp handle");
  return static_cast<Box*>(data);
}

}  // namespace

Napi::Object wrapObject(Napi::Env env, Ref<RefCounted> object, int64_t externalBytes) {
  Napi::Object handle = Napi::Object::New(env);
  auto box = std::make_unique<Box>(Box{std::move(object), externalBytes});
  const auto finalize = [](napi_env finalizeEnv, void* data, void*) {
    std::unique_ptr<Box> owned(static_cast<Box*>(data));
    release(finalizeEnv, owned.get());
  };
  if (napi_wrap(env, handle, box.get(), finalize, nullptr, nullptr) != napi_ok)
    throw Error(PW_INTERNAL, "could not wrap a native object");
  box.release();
  if (napi_type_tag_object(env, handle, &kTag) != napi_ok) throw Error(PW_INTERNAL, "could not tag a native object");
  if (externalBytes) Napi::MemoryManagement::AdjustExternalMemory(env, externalBytes);
  return handle;
}

RefCounted* unwrapAny(const Napi::Value& value) {
  Box* box = boxOf(value);
  if (!box->object) throw Error(PW_DISPOSED, "the object has been disposed");
  return box->object.get();
}

void disposeHandle(const Napi::Value& value) { release(value.Env(), boxOf(value)); }

Napi::Error makeError(Napi::Env env, pw_status status, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, errorCode(status)));
  return error;
}

Napi::ArrayBuffer newArrayBuffer(Napi::Env env, size_t bytes) {
  const Napi::Function constructor = env.Global().Get("ArrayBuffer").As<Napi::Function>();
  try {
    return constructor.New({Napi::Number::New(env, static_cast<double>(bytes))}).As<Napi::ArrayBuffer>();
  } catch (const Napi::Error&) {
    throw Error(PW_OUT_OF_MEMORY, "could not allocate an ArrayBuffer of " + std::to_string(bytes) + " bytes");
  }
}

}  // namespace pw::node
