// SPDX-License-Identifier: Apache-2.0
/// @file Reader of the GGUF container (versions 2 and 3, little endian), for files that nobody vouches for.
///
/// The reader copies nothing but the two tables: values and tensors point into the file's bytes. Before a byte is used,
/// every count, length, offset, alignment and dimension product has been checked against the file's size, so that what
/// it returns can be walked without further checks. Limits: keys up to 65,535 bytes, names of tensors up to 1,023, four
/// dimensions, arrays nested four deep, alignment up to 1 MiB, 2^20 tensors and 2^20 metadata entries.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/ggml_type.h"

namespace pw::gguf {

enum class ValueType : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };

/// "u8", ..., "string", "array".
const char* valueTypeName(ValueType type) noexcept;

/// Bytes of one scalar; 0 for String and Array, whose sizes vary.
size_t scalarSize(ValueType type) noexcept;

/// A metadata value: a scalar (count 1), a string, or an array of `count` elements of type `element`.
/// `payload` points at the first byte of the scalar, of the string's length, or of the array's first element. It is
/// unaligned.
struct Value {
  ValueType type;
  ValueType element;  ///< of an array; else the same as type
  uint64_t count;
  const uint8_t* payload;
  size_t bytes;  ///< of the payload
};

/// Reads an unaligned little-endian scalar of the file.
template <class T>
T readScalar(const uint8_t* p) noexcept {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

/// Calls `visit(std::string_view)` for a string or for each string of an array of strings.
template <class F>
void forEachString(const Value& value, F&& visit) {
  const uint8_t* p = value.payload;
  for (uint64_t i = 0; i < value.count; ++i) {
    const uint64_t length = readScalar<uint64_t>(p);
    visit(std::string_view(reinterpret_cast<const char*>(p + 8), static_cast<size_t>(length)));
    p += 8 + length;
  }
}

/// Calls `visit(Value)` for each element of an array of arrays.
void forEachArray(const Value& value, void (*visit)(void* self, const Value& element), void* self);

template <class F>
void forEachArray(const Value& value, F&& visit) {
  forEachArray(
      value, [](void* self, const Value& element) { (*static_cast<std::remove_reference_t<F>*>(self))(element); },
      static_cast<void*>(&visit));
}

struct Entry {
  std::string_view key;
  Value value;
};

struct Tensor {
  std::string_view name;
  uint32_t type;      ///< ggml type number, see ggmlType()
  int rank;           ///< 1 to 4
  uint64_t shape[4];  ///< as in the file: shape[0] is the contiguous dimension; 1 beyond the rank
  uint64_t elements;  ///< product of the shape
  uint64_t offset;    ///< of the first byte in the file
  uint64_t bytes;     ///< 0 when the type is unknown
};

struct File {
  uint32_t version;
  uint64_t alignment;
  uint64_t dataOffset;  ///< of the tensor data in the file
  std::vector<Entry> metadata;
  std::vector<Tensor> tensors;
};

/// Reads the tables of the file at [data, data + size), which must outlive the result.
/// @throws Error(PW_INVALID_MODEL) naming what is wrong and at which byte
File parse(const uint8_t* data, size_t size);

}  // namespace pw::gguf
