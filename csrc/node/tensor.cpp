// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <memory>

#include "node/call.h"
#include "node/register.h"

namespace pw::node {
namespace {

int64_t elementCount(const pw_tensor& t) {
  int64_t count = 1;
  for (int d = 0; d < t.rank; ++d) count *= t.shape[d];
  return count;
}

/// viewTensor(tensor, shape, strides, offset): shares the storage; the offset is counted in elements from its
/// beginning.
Napi::Value viewTensor(const Napi::CallbackInfo& info) {
  Ref<Tensor> base = unwrap<Tensor>(info[0]);
  const Napi::Array shape = info[1].As<Napi::Array>(), strides = info[2].As<Napi::Array>();
  pw_tensor view{};
  view.dtype = base->view().dtype;
  view.rank = static_cast<int32_t>(shape.Length());
  for (uint32_t d = 0; d < shape.Length() && d < PW_MAX_RANK; ++d) {
    view.shape[d] = shape.Get(d).As<Napi::Number>().Int64Value();
    view.strides[d] = strides.Get(d).As<Napi::Number>().Int64Value();
  }
  return wrapObject(info.Env(), makeRef<Tensor>(base->storage(), view, info[3].As<Napi::Number>().Int64Value()));
}

/// writeTensor(stream, tensor, typedArray): the bytes are copied now, and land in stream order.
Napi::Value writeTensor(const Napi::CallbackInfo& info) {
  Call call(info);
  const pw_tensor to = call.tensor(1);
  const Napi::TypedArray array = info[2].As<Napi::TypedArray>();
  const size_t bytes = static_cast<size_t>(elementCount(to) * pw_dtype_size(to.dtype));
  if (array.ByteLength() != bytes)
    throw Error(PW_SHAPE_MISMATCH,
                "the tensor has " + std::to_string(bytes) + " bytes, the array " + std::to_string(array.ByteLength()));
  std::shared_ptr<char[]> copy(new char[bytes]);
  std::memcpy(copy.get(), static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset(), bytes);
  return call.enqueue("write", [copy, to](Executor& executor) { executor.upload(copy.get(), to); });
}

/// readTensor(stream, tensor): Promise<ArrayBuffer> with the elements in row-major order.
Napi::Value readTensor(const Napi::CallbackInfo& info) {
  Ref<StreamObject> stream = unwrap<StreamObject>(info[0]);
  Ref<Tensor> tensor = unwrap<Tensor>(info[1]);
  const pw_tensor from = tensor->view();
  const size_t bytes = static_cast<size_t>(elementCount(from) * pw_dtype_size(from.dtype));
  // Nobody else sees the buffer before the promise resolves, so the engine thread may write into it.
  Napi::ArrayBuffer buffer = newArrayBuffer(info.Env(), bytes);
  void* to = buffer.Data();
  Command command{
      "read", {Ref<RefCounted>(tensor->storage())}, [from, to](Executor& executor) { executor.download(from, to); }};
  return enqueueWithPromise(info.Env(), *stream, std::move(command), buffer);
}

/// copyTensor(stream, from, to): converts between dtypes.
Napi::Value copyTensor(const Napi::CallbackInfo& info) {
  Call call(info);
  const pw_tensor from = call.tensor(1), to = call.tensor(2);
  return call.enqueue("copy", [from, to](Executor& executor) { executor.copy(from, to); });
}

/// fillTensor(stream, tensor, value)
Napi::Value fillTensor(const Napi::CallbackInfo& info) {
  Call call(info);
  const pw_tensor to = call.tensor(1);
  const double value = call.number(2);
  return call.enqueue("fill", [to, value](Executor& executor) { executor.fill(to, value); });
}

}  // namespace

void registerTensor(Napi::Env env, Napi::Object exports) {
  exports.Set("viewTensor", Napi::Function::New(env, guarded<viewTensor>));
  exports.Set("writeTensor", Napi::Function::New(env, guarded<writeTensor>));
  exports.Set("readTensor", Napi::Function::New(env, guarded<readTensor>));
  exports.Set("copyTensor", Napi::Function::New(env, guarded<copyTensor>));
  exports.Set("fillTensor", Napi::Function::New(env, guarded<fillTensor>));
}

}  // namespace pw::node
