// SPDX-License-Identifier: Apache-2.0
#include "core/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <unordered_set>

#include "core/error.h"

static_assert(std::endian::native == std::endian::little, "GGUF files are read in place: little-endian hosts only");

namespace pw::gguf {

namespace {

constexpr uint64_t kMaxEntries = 1u << 20;
constexpr uint64_t kMaxKeyLength = 65535;
constexpr uint64_t kMaxTensorNameLength = 1023;
constexpr uint32_t kMaxRank = 4;
constexpr int kMaxNesting = 4;
/// Of an array's elements: many times the largest vocabulary, and a small part of what a sparse file could claim.
constexpr uint64_t kMaxElements = 1u << 26;
constexpr uint64_t kMaxAlignment = 1u << 20;
constexpr uint64_t kDefaultAlignment = 32;

/// A name as it may be printed: control bytes replaced, long ones cut.
std::string printable(std::string_view text) {
  constexpr size_t kShown = 64;
  std::string out;
  for (const char c : text.substr(0, kShown)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (text.size() > kShown) out += "...";
  return '"' + out + '"';
}

/// A forward-only reader that never steps past the end.
class Cursor {
 public:
  Cursor(const uint8_t* data, size_t size) : begin_(data), p_(data), end_(data + size) {}

  uint64_t position() const { return static_cast<uint64_t>(p_ - begin_); }
  uint64_t remaining() const { return static_cast<uint64_t>(end_ - p_); }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(PW_INVALID_MODEL, "invalid GGUF file: " + what + " (at byte " + std::to_string(position()) + " of " +
                                      std::to_string(end_ - begin_) + ")");
  }

  template <class T>
  T scalar(const char* what) {
    if (remaining() < sizeof(T)) fail(std::string("the file ends inside ") + what);
    const T value = readScalar<T>(p_);
    p_ += sizeof(T);
    return value;
  }

  const uint8_t* bytes(uint64_t count, const char* what) {
    if (remaining() < count)
      fail(std::string(what) + " takes " + std::to_string(count) + " bytes, but only " + std::to_string(remaining()) +
           " are left");
    const uint8_t* at = p_;
    p_ += count;
    return at;
  }

  std::string_view string(const char* what, uint64_t maxLength) {
    const uint64_t length = scalar<uint64_t>(what);
    if (length > maxLength)
      fail(std::string(what) + " has " + std::to_string(length) + " bytes; at most " + std::to_string(maxLength) +
           " are allowed");
    return {reinterpret_cast<const char*>(bytes(length, what)), static_cast<size_t>(length)};
  }

  /// Reads the number of things of at least `minBytes` each that follow.
  uint64_t count(const char* what, uint64_t minBytes) {
    const uint64_t n = scalar<uint64_t>(what);
    if (n > kMaxEntries)
      fail(std::string(what) + " is " + std::to_string(n) + "; at most " + std::to_string(kMaxEntries) +
           " are allowed");
    if (n > remaining() / minBytes)
      fail(std::string(what) + " is " + std::to_string(n) + ", more than the rest of the file can hold");
    return n;
  }

  ValueType valueType() {
    const uint32_t type = scalar<uint32_t>("a metadata value's type");
    if (type > static_cast<uint32_t>(ValueType::F64)) fail("unknown metadata value type " + std::to_string(type));
    return static_cast<ValueType>(type);
  }

  void skipBools(uint64_t count) {
    for (const uint8_t *p = bytes(count, "a boolean value"), *end = p + count; p < end; ++p)
      if (*p > 1) fail("a boolean has the value " + std::to_string(*p));
  }

  Value value(ValueType type, int nesting) {
    if (type == ValueType::Array) return array(nesting);
    Value v{type, type, 1, p_, 0};
    if (type == ValueType::String)
      string("a metadata string", UINT64_MAX);
    else if (type == ValueType::Bool)
      skipBools(1);
    else
      bytes(scalarSize(type), "a metadata value");
    v.bytes = static_cast<size_t>(p_ - v.payload);
    return v;
  }

  Value array(int nesting) {
    if (nesting >= kMaxNesting) fail("arrays are nested more than " + std::to_string(kMaxNesting) + " deep");
    Value v{ValueType::Array, valueType(), 0, nullptr, 0};
    v.count = scalar<uint64_t>("an array's length");
    v.payload = p_;
    const uint64_t least = minimumSize(v.element);
    if (v.count > kMaxElements)
      fail("an array has " + std::to_string(v.count) + " elements; at most " + std::to_string(kMaxElements) +
           " are allowed");
    if (v.count > remaining() / least)
      fail("an array of " + std::to_string(v.count) + " " + valueTypeName(v.element) +
           " values is longer than the rest of the file");
    if (v.element == ValueType::Bool)
      skipBools(v.count);
    else if (const size_t size = scalarSize(v.element); size != 0)
      bytes(v.count * size, "an array");
    else
      for (uint64_t i = 0; i < v.count; ++i) value(v.element, nesting + 1);
    v.bytes = static_cast<size_t>(p_ - v.payload);
    return v;
  }

 private:
  static uint64_t minimumSize(ValueType type) {
    if (type == ValueType::String) return 8;
    if (type == ValueType::Array) return 12;
    return scalarSize(type);
  }

  const uint8_t* begin_;
  const uint8_t* p_;
  const uint8_t* end_;
};

uint64_t readHeader(Cursor& in, File& file) {
  if (in.remaining() < 4 || std::memcmp(in.bytes(4, "the magic"), "GGUF", 4) != 0)
    throw Error(PW_INVALID_MODEL, "not a GGUF file: it does not begin with \"GGUF\"");
  file.version = in.scalar<uint32_t>("the version");
  if (file.version == 0x02000000u || file.version == 0x03000000u)
    in.fail("the file is big-endian, which is not supported");
  if (file.version < 2 || file.version > 3)
    in.fail("version " + std::to_string(file.version) + " is not supported (2 and 3 are)");
  // A tensor needs a name's length, a rank, one dimension, a type and an offset; an entry a key's length, a type, a
  // byte.
  return in.count("the number of tensors", 8 + 4 + 8 + 4 + 8);
}

void readMetadata(Cursor& in, File& file) {
  const uint64_t entries = in.count("the number of metadata entries", 8 + 4 + 1);
  std::unordered_set<std::string_view> seen;
  file.metadata.reserve(static_cast<size_t>(entries));
  for (uint64_t i = 0; i < entries; ++i) {
    const std::string_view key = in.string("a metadata key", kMaxKeyLength);
    if (key.empty()) in.fail("metadata entry " + std::to_string(i) + " has an empty key");
    if (!seen.insert(key).second) in.fail("the metadata key " + printable(key) + " occurs twice");
    const ValueType type = in.valueType();
    file.metadata.push_back({key, in.value(type, 0)});
  }
}

uint64_t readAlignment(const Cursor& in, const File& file) {
  for (const Entry& entry : file.metadata) {
    if (entry.key != "general.alignment") continue;
    if (entry.value.type != ValueType::U32)
      in.fail(std::string("general.alignment is a ") + valueTypeName(entry.value.type) + ", not a u32");
    const uint64_t alignment = readScalar<uint32_t>(entry.value.payload);
    if (!std::has_single_bit(alignment) || alignment > kMaxAlignment)
      in.fail("general.alignment is " + std::to_string(alignment) + ", not a power of two up to " +
              std::to_string(kMaxAlignment));
    return alignment;
  }
  return kDefaultAlignment;
}

/// Fills elements and bytes. @throws when a product overflows 2^63 or a row is not a whole number of blocks
void measure(const Cursor& in, Tensor& tensor) {
  tensor.elements = 1;
  for (const uint64_t extent : tensor.shape) {
    if (extent == 0) in.fail("tensor " + printable(tensor.name) + " has a dimension of 0");
    if (extent > static_cast<uint64_t>(INT64_MAX) / tensor.elements)
      in.fail("tensor " + printable(tensor.name) + " has more than 2^63 elements");
    tensor.elements *= extent;
  }
  const GgmlType* type = ggmlType(tensor.type);
  if (type == nullptr) {
    tensor.bytes = 0;
    return;
  }
  if (tensor.shape[0] % type->blockElements != 0)
    in.fail("tensor " + printable(tensor.name) + " has rows of " + std::to_string(tensor.shape[0]) + " " + type->name +
            " elements, which is not a multiple of the type's block of " + std::to_string(type->blockElements));
  const uint64_t blocks = tensor.elements / type->blockElements;
  if (blocks > static_cast<uint64_t>(INT64_MAX) / type->blockBytes)
    in.fail("tensor " + printable(tensor.name) + " has more than 2^63 bytes");
  tensor.bytes = blocks * type->blockBytes;
}

void readTensors(Cursor& in, File& file, uint64_t count) {
  std::unordered_set<std::string_view> seen;
  file.tensors.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < count; ++i) {
    Tensor tensor{};
    tensor.name = in.string("a tensor's name", kMaxTensorNameLength);
    if (tensor.name.empty()) in.fail("tensor " + std::to_string(i) + " has an empty name");
    if (!seen.insert(tensor.name).second) in.fail("the tensor " + printable(tensor.name) + " occurs twice");
    const uint32_t rank = in.scalar<uint32_t>("a tensor's rank");
    if (rank < 1 || rank > kMaxRank)
      in.fail("tensor " + printable(tensor.name) + " has " + std::to_string(rank) + " dimensions; 1 to 4 are allowed");
    tensor.rank = static_cast<int>(rank);
    for (uint32_t d = 0; d < kMaxRank; ++d)
      tensor.shape[d] = d < rank ? in.scalar<uint64_t>("a tensor's dimensions") : 1;
    tensor.type = in.scalar<uint32_t>("a tensor's type");
    tensor.offset = in.scalar<uint64_t>("a tensor's offset");
    measure(in, tensor);
    file.tensors.push_back(tensor);
  }
}

/// Turns offsets into the data section into offsets into the file, and checks that each tensor lies inside it alone.
void placeTensors(const Cursor& in, File& file, uint64_t size) {
  const uint64_t end = in.position();
  file.dataOffset = (end + file.alignment - 1) & ~(file.alignment - 1);
  if (file.tensors.empty()) return;
  if (file.dataOffset > size) in.fail("the file ends before its tensor data");
  const uint64_t available = size - file.dataOffset;
  for (Tensor& tensor : file.tensors) {
    if (tensor.offset % file.alignment != 0)
      in.fail("tensor " + printable(tensor.name) + " is at offset " + std::to_string(tensor.offset) +
              ", which is not a multiple of the alignment " + std::to_string(file.alignment));
    if (tensor.offset > available || tensor.bytes > available - tensor.offset)
      in.fail("tensor " + printable(tensor.name) + " takes bytes " + std::to_string(tensor.offset) + " to " +
              std::to_string(tensor.offset + tensor.bytes) + " of the tensor data, which has " +
              std::to_string(available) + " (is the file cut off?)");
    tensor.offset += file.dataOffset;
  }
  std::vector<const Tensor*> order;
  for (const Tensor& tensor : file.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset)
      in.fail("tensors " + printable(order[i - 1]->name) + " and " + printable(order[i]->name) + " overlap");
}

}  // namespace

const char* valueTypeName(ValueType type) noexcept {
  static constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<uint32_t>(type)];
}

size_t scalarSize(ValueType type) noexcept {
  static constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kSizes[static_cast<uint32_t>(type)];
}

void forEachArray(const Value& value, void (*visit)(void* self, const Value& element), void* self) {
  Cursor in(value.payload, value.bytes);
  for (uint64_t i = 0; i < value.count; ++i) {
    const Value element = in.array(0);
    visit(self, element);
  }
}

File parse(const uint8_t* data, size_t size) {
  Cursor in(data, size);
  File file{};
  const uint64_t tensors = readHeader(in, file);
  readMetadata(in, file);
  file.alignment = readAlignment(in, file);
  readTensors(in, file, tensors);
  placeTensors(in, file, size);
  return file;
}

}  // namespace pw::gguf
