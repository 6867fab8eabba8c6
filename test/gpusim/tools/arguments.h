// SPDX-License-Identifier: Apache-2.0
// Kernel arguments as words on the command line.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace gpusim::tool {

/// A mistake in the command line; the tool prints it and exits with 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Argument {
  enum class Kind { kValue, kBuffer };

  Kind kind = Kind::kValue;
  std::vector<uint8_t> bytes;  ///< the value, or what the buffer starts with
  size_t size = 0;             ///< of the buffer
  bool initialised = true;     ///< whether `bytes` is written to the buffer
  std::string writeTo;         ///< file that receives the buffer after the launch
  bool show = false;           ///< print the buffer after the launch
};

/// Parses one argument as documented in the README; throws UsageError.
Argument parseArgument(const std::string& word);

std::vector<uint8_t> parseHex(const std::string& text);
std::string toHex(const std::vector<uint8_t>& bytes);
std::vector<uint8_t> readFile(const std::string& path);
void writeFile(const std::string& path, const std::vector<uint8_t>& bytes);

/// A whole number in decimal or 0x hexadecimal.
uint64_t parseUnsigned(const std::string& text, uint64_t most, const char* what);

}  // namespace gpusim::tool
