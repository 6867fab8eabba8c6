// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gpusim::ptx {

struct Token {
  enum class Kind : uint8_t { Word, Directive, Integer, Float32, Float64, String, Punctuation, End } kind;
  std::string text;    ///< Directive: with its dot
  uint64_t value = 0;  ///< Integer, or the bits of a Float
  int line = 0;
  uint32_t begin = 0;  ///< offset in the text
};

/// Splits PTX text into tokens. Words take `%`, `$` and `_`; `.L2::128B` is one Directive. @throws ParseError
std::vector<Token> tokenize(const std::string& text);

}  // namespace gpusim::ptx
