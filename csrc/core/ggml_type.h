// SPDX-License-Identifier: Apache-2.0
/// @file The element types that GGUF files name, with their block sizes.
#pragma once
#include <cstdint>

namespace pw {

struct GgmlType {
  uint32_t id;
  const char* name;
  uint32_t blockElements;
  uint32_t blockBytes;
};

/// The type with this number, or nullptr when no GGUF version that we know of defines it (or has withdrawn it).
const GgmlType* ggmlType(uint32_t id) noexcept;

}  // namespace pw
