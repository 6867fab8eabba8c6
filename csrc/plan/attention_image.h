// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstring>
#include <vector>

#include "pagewarp/attention.h"

namespace pw {

/// Lays a plan's arrays out behind one another, as pw_attention_image says.
class AttentionImage {
 public:
  /// Items go first, right behind the header.
  explicit AttentionImage(const std::vector<pw_attention_item>& items) : bytes_(sizeof(pw_attention_image)) {
    add(items);
  }

  /// @return where the array begins, in bytes from the header; 0 for an empty one
  template <class T>
  int64_t add(const std::vector<T>& values) {
    if (values.empty()) return 0;
    const size_t at = (bytes_.size() + 15) / 16 * 16;
    bytes_.resize(at + values.size() * sizeof(T));
    std::memcpy(bytes_.data() + at, values.data(), values.size() * sizeof(T));
    return static_cast<int64_t>(at);
  }

  /// To be called once, when everything was added.
  std::vector<std::byte> finish(const pw_attention_image& header) {
    std::memcpy(bytes_.data(), &header, sizeof header);
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
};

static_assert(sizeof(pw_attention_image) % 16 == 0 && sizeof(pw_attention_item) % 16 == 0);

}  // namespace pw
