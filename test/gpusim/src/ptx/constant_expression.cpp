// SPDX-License-Identifier: Apache-2.0
// Integer expressions that PTX allows where it wants a constant: `table+4*2`.
#include <algorithm>

#include "ptx/parser.h"

namespace gpusim::ptx {
namespace {

/// Binary operators by level, from the one that binds loosest on.
const std::vector<std::vector<std::string>>& operatorLevels() {
  static const std::vector<std::vector<std::string>> kLevels = {
      {"||"},       {"&&"},     {"|"},          {"^"}, {"&"}, {"==", "!="}, {"<=", ">=", "<", ">"},
      {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"}};
  return kLevels;
}

uint64_t evaluate(const std::string& op, int64_t a, int64_t b) {
  switch (op[0]) {
    case '|':
      return op == "||" ? uint64_t(a || b) : uint64_t(a | b);
    case '&':
      return op == "&&" ? uint64_t(a && b) : uint64_t(a & b);
    case '^':
      return uint64_t(a ^ b);
    case '=':
      return a == b;
    case '!':
      return a != b;
    case '<':
      return op == "<<" ? uint64_t(a) << (b & 63) : op == "<=" ? a <= b : a < b;
    case '>':
      return op == ">>" ? uint64_t(a >> (b & 63)) : op == ">=" ? a >= b : a > b;
    case '+':
      return uint64_t(a) + uint64_t(b);
    case '-':
      return uint64_t(a) - uint64_t(b);
    case '*':
      return uint64_t(a) * uint64_t(b);
    case '/':
      return uint64_t(a / b);
    default:
      return uint64_t(a % b);
  }
}

}  // namespace

bool Parser::startsConstant() const {
  size_t at = 0;
  while (peek(at).text == "-" || peek(at).text == "+" || peek(at).text == "~" || peek(at).text == "(") ++at;
  return peek(at).kind == Token::Kind::Integer;
}

/// The operator of the level that comes next; empty for another token. Operators are tokens of one character each.
std::string Parser::constantOperator(size_t level) const {
  const std::string pair = peek().text + peek(1).text;
  for (auto& names : operatorLevels())
    for (auto& name : names)
      if (name.size() == 2 && name == pair)
        return std::count(operatorLevels()[level].begin(), operatorLevels()[level].end(), name) ? name : "";
  for (auto& name : operatorLevels()[level])
    if (name == peek().text) return name;
  return "";
}

/// An integer expression as in C; all arithmetic is of 64 bits, signed.
uint64_t Parser::constantExpression(size_t level) {
  if (level == operatorLevels().size()) return constantTerm();
  uint64_t value = constantExpression(level + 1);
  for (std::string op; !(op = constantOperator(level)).empty();) {
    at_ += op.size();
    const uint64_t right = constantExpression(level + 1);
    if ((op == "/" || op == "%") && (!right || right == ~0ull)) fail("division in a constant");
    value = evaluate(op, int64_t(value), int64_t(right));
  }
  if (level || !accept("?")) return value;
  const Nesting nested(*this);
  const uint64_t first = constantExpression();
  expect(":");
  const uint64_t second = constantExpression();
  return value ? first : second;
}

uint64_t Parser::constantTerm() {
  const Nesting level(*this);
  if (accept("-")) return 0 - constantTerm();
  if (accept("+")) return constantTerm();
  if (accept("~")) return ~constantTerm();
  if (accept("(")) {
    const uint64_t value = constantExpression();
    expect(")");
    return value;
  }
  return integer();
}

}  // namespace gpusim::ptx
