// SPDX-License-Identifier: Apache-2.0
/// @file Builds GGUF files in memory, correct and deliberately wrong ones.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace gguf_bytes {

class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    const size_t at = data.size();
    data.resize(at + sizeof value);
    std::memcpy(data.data() + at, &value, sizeof value);
    return *this;
  }
  Bytes& u32(uint32_t value) { return put(value); }
  Bytes& u64(uint64_t value) { return put(value); }
  Bytes& raw(const std::string& text) {
    data.insert(data.end(), text.begin(), text.end());
    return *this;
  }
  Bytes& string(const std::string& text) { return u64(text.size()).raw(text); }
  Bytes& header(uint64_t tensors, uint64_t entries, uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(tensors).u64(entries);
  }
  Bytes& tensor(const std::string& name, const std::vector<uint64_t>& shape, uint32_t type, uint64_t offset) {
    string(name).u32(static_cast<uint32_t>(shape.size()));
    for (const uint64_t extent : shape) u64(extent);
    return u32(type).u64(offset);
  }
  Bytes& padTo(size_t alignment) {
    while (data.size() % alignment != 0) data.push_back(0);
    return *this;
  }
  Bytes& fill(size_t count, uint8_t value) {
    data.insert(data.end(), count, value);
    return *this;
  }

  std::vector<uint8_t> data;
};

/// A file with a value of every type, nested arrays and tensors of plain, blocked and unknown types.
inline std::vector<uint8_t> rich() {
  Bytes b;
  b.header(4, 17);
  b.string("general.architecture").u32(8).string("llama");
  b.string("a.u8").u32(0).put<uint8_t>(200);
  b.string("a.i8").u32(1).put<int8_t>(-3);
  b.string("a.u16").u32(2).put<uint16_t>(65535);
  b.string("a.i16").u32(3).put<int16_t>(-2);
  b.string("a.u32").u32(4).u32(0xffffffffu);
  b.string("a.i32").u32(5).put<int32_t>(-1);
  b.string("a.f32").u32(6).put(1.5f);
  b.string("a.bool").u32(7).put<uint8_t>(1);
  b.string("a.u64").u32(10).u64(~0ull);
  b.string("a.i64").u32(11).put<int64_t>(-5);
  b.string("a.f64").u32(12).put(2.25);
  b.string("general.alignment").u32(4).u32(64);
  b.string("b.tokens").u32(9).u32(8).u64(3).string("<s>").string("").string("\xe2\x96\x81the");
  b.string("b.scores").u32(9).u32(6).u64(3).put(0.f).put(-1.f).put(-2.f);
  b.string("b.nested").u32(9).u32(9).u64(2);
  b.u32(4).u64(2).u32(7).u32(8);
  b.u32(8).u64(1).string("inner");
  b.string("b.empty").u32(9).u32(7).u64(0);
  b.tensor("token_embd.weight", {8, 4}, 0, 0);
  b.tensor("blk.0.attn_q.weight", {32, 2}, 2, 128);
  b.tensor("norm", {5}, 1, 192);
  b.tensor("later", {3, 3, 3, 2}, 77, 256);
  return b.padTo(64).fill(256, 0xab).data;
}

/// The smallest file: no metadata, one tensor, version 2.
inline std::vector<uint8_t> small() {
  Bytes b;
  b.header(1, 0, 2).tensor("x", {1}, 24, 0);
  return b.padTo(32).fill(1, 7).data;
}

/// No tensors at all: nothing after the metadata.
inline std::vector<uint8_t> metadataOnly() {
  Bytes b;
  b.header(0, 1).string("k").u32(9).u32(8).u64(2).string("ab").string("c");
  return b.data;
}

}  // namespace gguf_bytes
