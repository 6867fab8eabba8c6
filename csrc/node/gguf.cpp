// SPDX-License-Identifier: Apache-2.0
#include "core/gguf_file.h"
#include "node/handle.h"
#include "node/register.h"

namespace pw::node {
namespace {

using gguf::Value;
using gguf::ValueType;

Napi::String toString(Napi::Env env, std::string_view text) { return Napi::String::New(env, text.data(), text.size()); }

/// A number where it is exact, else a bigint.
template <class T>
Napi::Value wideInteger(Napi::Env env, T value) {
  constexpr T kLimit = T{1} << 53;
  bool exact = value <= kLimit;
  if constexpr (std::is_signed_v<T>) exact = exact && value >= -kLimit;
  if (exact) return Napi::Number::New(env, static_cast<double>(value));
  return Napi::BigInt::New(env, value);
}

Napi::Value scalar(Napi::Env env, const Value& value) {
  const uint8_t* p = value.payload;
  const auto number = [&](double x) { return Napi::Number::New(env, x); };
  switch (value.type) {
    case ValueType::U8:
      return number(gguf::readScalar<uint8_t>(p));
    case ValueType::I8:
      return number(gguf::readScalar<int8_t>(p));
    case ValueType::U16:
      return number(gguf::readScalar<uint16_t>(p));
    case ValueType::I16:
      return number(gguf::readScalar<int16_t>(p));
    case ValueType::U32:
      return number(gguf::readScalar<uint32_t>(p));
    case ValueType::I32:
      return number(gguf::readScalar<int32_t>(p));
    case ValueType::F32:
      return number(static_cast<double>(gguf::readScalar<float>(p)));
    case ValueType::F64:
      return number(gguf::readScalar<double>(p));
    case ValueType::U64:
      return wideInteger(env, gguf::readScalar<uint64_t>(p));
    case ValueType::I64:
      return wideInteger(env, gguf::readScalar<int64_t>(p));
    case ValueType::Bool:
      return Napi::Boolean::New(env, *p != 0);
    default: {
      Napi::Value out = env.Undefined();
      gguf::forEachString(value, [&](std::string_view text) { out = toString(env, text); });
      return out;
    }
  }
}

template <class T>
Napi::Value typedArray(Napi::Env env, const Value& value) {
  const size_t count = static_cast<size_t>(value.count);
  Napi::TypedArrayOf<T> out = Napi::TypedArrayOf<T>::New(env, count, newArrayBuffer(env, count * sizeof(T)), 0);
  if (count != 0) std::memcpy(out.Data(), value.payload, count * sizeof(T));
  return out;
}

/// `each(add)` calls add(element) for every element.
template <class Each>
Napi::Value plainArray(Napi::Env env, const Value& value, Each each) {
  Napi::Array out = Napi::Array::New(env, static_cast<size_t>(value.count));
  uint32_t i = 0;
  each([&](const auto& make) {
    Napi::HandleScope scope(env);
    out.Set(i++, make());
  });
  return out;
}

/// Numbers become the typed array of their type (booleans a Uint8Array of 0 and 1), strings and arrays a plain array.
Napi::Value array(Napi::Env env, const Value& value) {
  switch (value.element) {
    case ValueType::U8:
    case ValueType::Bool:
      return typedArray<uint8_t>(env, value);
    case ValueType::I8:
      return typedArray<int8_t>(env, value);
    case ValueType::U16:
      return typedArray<uint16_t>(env, value);
    case ValueType::I16:
      return typedArray<int16_t>(env, value);
    case ValueType::U32:
      return typedArray<uint32_t>(env, value);
    case ValueType::I32:
      return typedArray<int32_t>(env, value);
    case ValueType::F32:
      return typedArray<float>(env, value);
    case ValueType::F64:
      return typedArray<double>(env, value);
    case ValueType::U64:
      return typedArray<uint64_t>(env, value);
    case ValueType::I64:
      return typedArray<int64_t>(env, value);
    case ValueType::String:
      return plainArray(env, value, [&](auto add) {
        gguf::forEachString(value, [&](std::string_view text) { add([&] { return toString(env, text); }); });
      });
    default:
      return plainArray(env, value, [&](auto add) {
        gguf::forEachArray(value, [&](const Value& element) { add([&] { return array(env, element); }); });
      });
  }
}

Napi::Array metadataTable(Napi::Env env, const GgufFile& file) {
  const gguf::File& tables = file.tables();
  Napi::Array out = Napi::Array::New(env, tables.metadata.size());
  uint32_t i = 0;
  for (const gguf::Entry& entry : tables.metadata) {
    Napi::HandleScope scope(env);
    Napi::Object row = Napi::Object::New(env);
    row.Set("key", toString(env, entry.key));
    row.Set("type", gguf::valueTypeName(entry.value.type));
    // The whole entry as it is in the file, from the key's length on: for copies.
    const auto* begin = reinterpret_cast<const uint8_t*>(entry.key.data()) - sizeof(uint64_t);
    row.Set("offset", static_cast<double>(begin - file.file().data()));
    row.Set("bytes", static_cast<double>(entry.value.payload + entry.value.bytes - begin));
    if (entry.value.type == ValueType::Array) {
      row.Set("element", gguf::valueTypeName(entry.value.element));
      row.Set("length", static_cast<double>(entry.value.count));
    } else {
      row.Set("value", scalar(env, entry.value));
    }
    out.Set(i++, row);
  }
  return out;
}

Napi::Array tensorTable(Napi::Env env, const gguf::File& tables) {
  Napi::Array out = Napi::Array::New(env, tables.tensors.size());
  uint32_t i = 0;
  for (const gguf::Tensor& tensor : tables.tensors) {
    Napi::HandleScope scope(env);
    Napi::Object row = Napi::Object::New(env);
    const GgmlType* type = ggmlType(tensor.type);
    // Row-major, as everywhere else in the library: the file lists the contiguous dimension first.
    Napi::Array shape = Napi::Array::New(env, static_cast<size_t>(tensor.rank));
    for (int d = 0; d < tensor.rank; ++d)
      shape.Set(static_cast<uint32_t>(d), static_cast<double>(tensor.shape[tensor.rank - 1 - d]));
    row.Set("name", toString(env, tensor.name));
    row.Set("type", type ? std::string(type->name) : "type " + std::to_string(tensor.type));
    row.Set("shape", shape);
    row.Set("elements", static_cast<double>(tensor.elements));
    row.Set("offset", static_cast<double>(tensor.offset));
    row.Set("bytes", static_cast<double>(tensor.bytes));
    out.Set(i++, row);
  }
  return out;
}

/// openGguf(path): the file's handle and tables. Arrays stay in the file until ggufArray asks for them.
Napi::Value openGguf(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Ref<GgufFile> file = GgufFile::open(info[0].As<Napi::String>().Utf8Value());
  const gguf::File& tables = file->tables();
  Napi::Object out = Napi::Object::New(env);
  out.Set("version", tables.version);
  out.Set("alignment", static_cast<double>(tables.alignment));
  out.Set("dataOffset", static_cast<double>(tables.dataOffset));
  out.Set("bytes", static_cast<double>(file->file().size()));
  out.Set("metadata", metadataTable(env, *file));
  out.Set("tensors", tensorTable(env, tables));
  out.Set("handle", wrapObject(env, file));
  return out;
}

/// ggufArray(handle, index): the array that is metadata entry `index`.
Napi::Value ggufArray(const Napi::CallbackInfo& info) {
  const Ref<GgufFile> file = unwrap<GgufFile>(info[0]);
  const std::vector<gguf::Entry>& metadata = file->tables().metadata;
  const uint32_t index = info[1].As<Napi::Number>().Uint32Value();
  if (index >= metadata.size() || metadata[index].value.type != ValueType::Array)
    throw Error(PW_INVALID_ARGUMENT, "metadata entry " + std::to_string(index) + " is not an array");
  return array(info.Env(), metadata[index].value);
}

/// openFile(path): handle and size of a mapped file of any kind.
Napi::Value openFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Ref<MappedFile> file = MappedFile::open(info[0].As<Napi::String>().Utf8Value());
  Napi::Object out = Napi::Object::New(env);
  out.Set("bytes", static_cast<double>(file->size()));
  out.Set("handle", wrapObject(env, file));
  return out;
}

/// fileBytes(handle, offset, length): a copy of a stretch of a GGUF file or of any other mapped one.
Napi::Value fileBytes(const Napi::CallbackInfo& info) {
  const Ref<MappedFile> mapping = mappedFile(unwrapAny(info[0]));
  if (!mapping) throw Error(PW_INVALID_ARGUMENT, "not a file");
  const MappedFile& file = *mapping;
  const double offset = info[1].As<Napi::Number>().DoubleValue(), length = info[2].As<Napi::Number>().DoubleValue();
  if (!(offset >= 0 && length >= 0 && offset + length <= static_cast<double>(file.size())))
    throw Error(PW_INVALID_ARGUMENT, "a stretch outside the file");
  Napi::ArrayBuffer out = newArrayBuffer(info.Env(), static_cast<size_t>(length));
  if (length > 0) std::memcpy(out.Data(), file.data() + static_cast<size_t>(offset), static_cast<size_t>(length));
  return out;
}

}  // namespace

void registerGguf(Napi::Env env, Napi::Object exports) {
  exports.Set("openGguf", Napi::Function::New(env, guarded<openGguf>));
  exports.Set("ggufArray", Napi::Function::New(env, guarded<ggufArray>));
  exports.Set("openFile", Napi::Function::New(env, guarded<openFile>));
  exports.Set("fileBytes", Napi::Function::New(env, guarded<fileBytes>));
}

}  // namespace pw::node
