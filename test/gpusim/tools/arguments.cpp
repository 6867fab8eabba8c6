// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

namespace gpusim::tool {
namespace {

template <class T>
std::vector<uint8_t> bytesOf(T value) {
  std::vector<uint8_t> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

int64_t parseSigned(const std::string& text) {
  errno = 0;
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 0);
  if (text.empty() || *end != '\0' || errno != 0) throw UsageError("'" + text + "' is not a whole number");
  return value;
}

double parseDouble(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') throw UsageError("'" + text + "' is not a number");
  return value;
}

// Integers accept the whole signed and unsigned range of their width.
std::vector<uint8_t> integerBytes(const std::string& text, unsigned bits) {
  const bool negative = !text.empty() && text[0] == '-';
  uint64_t value = 0;
  if (negative) {
    const int64_t number = parseSigned(text);
    if (bits < 64 && number < -(int64_t{1} << (bits - 1))) throw UsageError("'" + text + "' does not fit");
    value = static_cast<uint64_t>(number);
  } else {
    value = parseUnsigned(text, bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1, "integer argument");
  }
  std::vector<uint8_t> bytes = bytesOf(value);
  bytes.resize(bits / 8);
  return bytes;
}

Argument value(std::vector<uint8_t> bytes) {
  Argument argument;
  argument.bytes = std::move(bytes);
  return argument;
}

Argument buffer(std::vector<uint8_t> bytes) {
  Argument argument;
  argument.kind = Argument::Kind::kBuffer;
  argument.size = bytes.size();
  argument.bytes = std::move(bytes);
  if (argument.size == 0) throw UsageError("a buffer must have at least one byte");
  return argument;
}

Argument uninitialised(const std::string& size) {
  Argument argument;
  argument.kind = Argument::Kind::kBuffer;
  argument.initialised = false;
  argument.size = parseUnsigned(size, uint64_t{1} << 40, "buffer size");
  if (argument.size == 0) throw UsageError("a buffer must have at least one byte");
  return argument;
}

std::vector<uint8_t> zeros(const std::string& size) {
  return std::vector<uint8_t>(parseUnsigned(size, uint64_t{1} << 34, "buffer size"));
}

// "a:b" where the last colon separates.
std::pair<std::string, std::string> splitLast(const std::string& text, const std::string& word) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size())
    throw UsageError("'" + word + "' must have two parts after the kind");
  return {text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace

uint64_t parseUnsigned(const std::string& text, uint64_t most, const char* what) {
  errno = 0;
  char* end = nullptr;
  const unsigned long long value = std::strtoull(text.c_str(), &end, 0);
  if (text.empty() || text[0] == '-' || *end != '\0' || errno != 0 || value > most)
    throw UsageError(std::string(what) + " '" + text + "' is not a whole number from 0 to " + std::to_string(most));
  return value;
}

std::vector<uint8_t> parseHex(const std::string& text) {
  if (text.size() % 2 != 0) throw UsageError("hexadecimal bytes need an even number of digits");
  std::vector<uint8_t> bytes;
  bytes.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    unsigned byte = 0;
    for (const char digit : {text[i], text[i + 1]}) {
      const char* digits = "0123456789abcdef";
      const char* at = digit == '\0' ? nullptr : std::strchr(digits, digit >= 'A' && digit <= 'F' ? digit + 32 : digit);
      if (!at) throw UsageError(std::string("'") + digit + "' is not a hexadecimal digit");
      byte = byte * 16 + static_cast<unsigned>(at - digits);
    }
    bytes.push_back(static_cast<uint8_t>(byte));
  }
  return bytes;
}

std::string toHex(const std::vector<uint8_t>& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::vector<uint8_t> readFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UsageError("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void writeFile(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw UsageError("cannot write " + path);
}

Argument parseArgument(const std::string& word) {
  if (word == "null") return value(bytesOf(uint64_t{0}));
  const size_t colon = word.find(':');
  if (colon == std::string::npos) throw UsageError("argument '" + word + "' must be KIND:VALUE");
  const std::string kind = word.substr(0, colon);
  const std::string rest = word.substr(colon + 1);
  static const std::map<std::string, unsigned> integers = {{"i8", 8},   {"u8", 8},   {"i16", 16}, {"u16", 16},
                                                           {"i32", 32}, {"u32", 32}, {"i64", 64}, {"u64", 64}};
  if (const auto found = integers.find(kind); found != integers.end()) return value(integerBytes(rest, found->second));
  if (kind == "f32") return value(bytesOf(static_cast<float>(parseDouble(rest))));
  if (kind == "f64") return value(bytesOf(parseDouble(rest)));
  if (kind == "bytes") return value(parseHex(rest));
  if (kind == "in") return buffer(readFile(rest));
  if (kind == "zero") return buffer(zeros(rest));
  if (kind == "hex") return buffer(parseHex(rest));
  if (kind == "uninit") return uninitialised(rest);
  if (kind == "out") {
    const auto [path, size] = splitLast(rest, word);
    Argument argument = uninitialised(size);
    argument.writeTo = path;
    return argument;
  }
  if (kind == "inout") {
    const auto [from, to] = splitLast(rest, word);
    Argument argument = buffer(readFile(from));
    argument.writeTo = to;
    return argument;
  }
  if (kind == "show" || kind == "showhex") {
    Argument argument = buffer(kind == "show" ? zeros(rest) : parseHex(rest));
    argument.show = true;
    return argument;
  }
  throw UsageError("unknown kind of argument '" + kind + "'");
}

}  // namespace gpusim::tool
