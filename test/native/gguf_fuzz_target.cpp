// SPDX-License-Identifier: Apache-2.0
/// @file The fuzzing entry point of the GGUF reader, in libFuzzer's convention:
///   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Icsrc -Icsrc/include
///     test/native/gguf_fuzz_target.cpp csrc/core/{gguf,ggml_type,error}.cpp
/// fuzz_driver.cpp drives the same function without libFuzzer.
#include <cstdio>
#include <cstdlib>

#include "core/error.h"
#include "core/gguf.h"

namespace {

volatile uint64_t sink;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "invariant broken: %s\n", what);
  std::abort();
}

/// Reads every byte, so that the sanitizers see a view that leaves the buffer.
void touch(const uint8_t* p, uint64_t bytes) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < bytes; ++i) sum += p[i];
  sink = sum;
}

void walk(const pw::gguf::Value& value, int depth) {
  using pw::gguf::ValueType;
  require(depth <= 8, "arrays nest no deeper than promised");
  if (value.element == ValueType::String) {
    uint64_t strings = 0;
    pw::gguf::forEachString(value, [&](std::string_view text) {
      ++strings;
      touch(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    });
    require(strings == value.count, "every string is visited");
  } else if (value.type == ValueType::Array && value.element == ValueType::Array) {
    pw::gguf::forEachArray(value, [&](const pw::gguf::Value& element) { walk(element, depth + 1); });
  } else {
    require(value.bytes == value.count * pw::gguf::scalarSize(value.element), "scalars fill the payload");
    touch(value.payload, value.bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const pw::gguf::File file = pw::gguf::parse(data, size);
    for (const pw::gguf::Entry& entry : file.metadata) {
      require(!entry.key.empty(), "keys are not empty");
      walk(entry.value, 0);
    }
    for (const pw::gguf::Tensor& tensor : file.tensors) {
      require(tensor.offset % file.alignment == 0 || file.dataOffset % file.alignment == 0, "offsets are aligned");
      require(tensor.offset <= size && tensor.bytes <= size - tensor.offset, "tensors lie in the file");
      require(tensor.rank >= 1 && tensor.rank <= 4 && tensor.elements >= 1, "tensors have elements");
      touch(data + tensor.offset, tensor.bytes);
    }
    return 0;
  } catch (const pw::Error& error) {
    require(error.status() == PW_INVALID_MODEL, "bad input is an invalid model");
    require(error.what()[0] != '\0', "errors say what is wrong");
    return -1;
  }
}
