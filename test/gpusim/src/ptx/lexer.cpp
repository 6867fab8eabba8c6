// SPDX-License-Identifier: Apache-2.0
#include "ptx/lexer.h"

#include <bit>
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "ptx/ast.h"

namespace gpusim::ptx {
namespace {

bool wordStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%'; }
bool wordPart(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$'; }

class Scanner {
 public:
  explicit Scanner(const std::string& text) : text_(text) {}

  std::vector<Token> run() {
    std::vector<Token> out;
    out.reserve(text_.size() / 4);
    while (skipBlank()) out.push_back(next());
    out.push_back({Token::Kind::End, "", 0, line_, uint32_t(pos_)});
    return out;
  }

 private:
  char at(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  bool skipBlank() {
    while (pos_ < text_.size()) {
      char c = text_[pos_];
      if (c == '\n') {
        ++line_, ++pos_;
      } else if (std::isspace(static_cast<unsigned char>(c)) || c == '\0') {
        ++pos_;
      } else if (c == '/' && at(pos_ + 1) == '/') {
        while (pos_ < text_.size() && text_[pos_] != '\n') ++pos_;
      } else if (c == '/' && at(pos_ + 1) == '*') {
        size_t end = text_.find("*/", pos_ + 2);
        if (end == std::string::npos) throw ParseError{line_, "comment without end"};
        for (; pos_ < end + 2; ++pos_) line_ += text_[pos_] == '\n';
      } else {
        return true;
      }
    }
    return false;
  }

  Token next() {
    const size_t begin = pos_;
    Token t{Token::Kind::Punctuation, "", 0, line_, uint32_t(begin)};
    char c = text_[pos_];
    if (wordStart(c)) {
      for (++pos_; wordPart(at(pos_));) ++pos_;
      t.kind = Token::Kind::Word;
    } else if (c == '.' && (wordPart(at(pos_ + 1)))) {
      for (++pos_;
           wordPart(at(pos_)) || (at(pos_) == ':' && at(pos_ + 1) == ':') || (at(pos_) == ':' && at(pos_ - 1) == ':');)
        ++pos_;
      t.kind = Token::Kind::Directive;
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      return number(t);
    } else if (c == '"') {
      for (++pos_; at(pos_) != '"'; ++pos_) {
        if (pos_ >= text_.size()) throw ParseError{line_, "string without end"};
        if (at(pos_) == '\\') ++pos_;
      }
      ++pos_;
      t.kind = Token::Kind::String;
      t.text = text_.substr(begin + 1, pos_ - begin - 2);
      return t;
    } else {
      ++pos_;
    }
    t.text = text_.substr(begin, pos_ - begin);
    return t;
  }

  Token number(Token t) {
    const size_t begin = pos_;
    const char second = at(pos_ + 1);
    if (text_[pos_] == '0' && std::strchr("fFdD", second) && second) {
      const bool wide = second == 'd' || second == 'D';
      t.kind = wide ? Token::Kind::Float64 : Token::Kind::Float32;
      const size_t digits = wide ? 16 : 8;
      t.text = text_.substr(begin, digits + 2);
      t.value = std::strtoull(text_.substr(begin + 2, digits).c_str(), nullptr, 16);
      pos_ += digits + 2;
      return t;
    }
    char* end = nullptr;
    t.kind = Token::Kind::Integer;
    if (text_[pos_] == '0' && (second == 'b' || second == 'B')) {
      t.value = std::strtoull(text_.c_str() + pos_ + 2, &end, 2);
    } else {
      t.value = std::strtoull(text_.c_str() + pos_, &end, 0);
    }
    pos_ = size_t(end - text_.c_str());
    const bool fraction = at(pos_) == '.' && second != 'x';  // the digits after the point may be missing: 0.
    const bool exponent = (at(pos_) == 'e' || at(pos_) == 'E') && second != 'x';
    if (fraction || exponent) {
      t.kind = Token::Kind::Float64;
      t.value = std::bit_cast<uint64_t>(std::strtod(text_.c_str() + begin, &end));
      pos_ = size_t(end - text_.c_str());
    } else if (at(pos_) == 'U') {
      ++pos_;
    }
    t.text = text_.substr(begin, pos_ - begin);
    return t;
  }

  const std::string& text_;
  size_t pos_ = 0;
  int line_ = 1;
};

}  // namespace

std::vector<Token> tokenize(const std::string& text) { return Scanner(text).run(); }

}  // namespace gpusim::ptx
