// SPDX-License-Identifier: Apache-2.0
#include "ptx/parser.h"

#include <algorithm>
#include <utility>

namespace gpusim::ptx {
namespace {

/// The largest variables: of the whole grid, and of a thread or block, of which a thread's local memory may be the
/// largest.
constexpr uint64_t kMostGlobalBytes = uint64_t(1) << 40, kMostOtherBytes = uint64_t(512) << 10;

Space parseSpace(const std::string& directive) {
  if (directive == ".global") return Space::Global;
  if (directive == ".const") return Space::Const;
  if (directive == ".shared" || directive == ".shared::cta") return Space::Shared;
  if (directive == ".local") return Space::Local;
  if (directive == ".param") return Space::Param;
  if (directive == ".reg") return Space::Reg;
  return Space::None;
}

}  // namespace

Parser::Parser(const std::string& text) : text_(text), tokens_(tokenize(text)) {}

void Parser::fail(const std::string& message) const { throw ParseError{peek().line, message}; }

bool Parser::accept(const char* text) {
  if (peek().text != text || peek().kind == Token::Kind::String) return false;
  ++at_;
  return true;
}

void Parser::expect(const char* text) {
  if (!accept(text)) fail(std::string("expected '") + text + "' before '" + peek().text + "'");
}

std::string Parser::word() {
  if (peek().kind != Token::Kind::Word) fail("expected a name before '" + peek().text + "'");
  return take().text;
}

uint64_t Parser::integer() {
  const bool negative = accept("-");
  if (peek().kind != Token::Kind::Integer) fail("expected an integer before '" + peek().text + "'");
  uint64_t v = take().value;
  return negative ? 0 - v : v;
}

void Parser::skipTo(const char* text) {
  while (!accept(text)) {
    if (peek().kind == Token::Kind::End) fail(std::string("expected '") + text + "'");
    ++at_;
  }
}

std::vector<ModuleAst> Parser::run() {
  while (peek().kind != Token::Kind::End) topLevel();
  finished_.push_back(std::move(module_));
  return std::move(finished_);
}

void Parser::topLevel() {
  const Token t = peek();
  if (accept(";")) return;
  if (t.kind != Token::Kind::Directive) fail("unexpected '" + t.text + "' at module level");
  if (accept(".version")) {
    if (module_.version) finished_.push_back(std::exchange(module_, {}));
    module_.version = int(std::stod(take().text) * 10 + 0.5);
  } else if (accept(".target")) {
    module_.target = word();
    if (module_.target.rfind("sm_", 0) != 0) fail("unknown target '" + module_.target + "'");
    module_.targetSm = std::atoi(module_.target.c_str() + 3);
    while (accept(",")) take();
  } else if (accept(".address_size")) {
    if (integer() != 64) fail("only 64-bit addresses are supported");
  } else if (accept(".file")) {
    fileDirective();
  } else if (accept(".section")) {
    skipTo("{");
    for (int depth = 1; depth; ++at_) {
      if (peek().kind == Token::Kind::End) fail("section without end");
      depth += peek().text == "{" ? 1 : peek().text == "}" ? -1 : 0;
    }
  } else if (accept(".pragma")) {
    skipTo(";");
  } else if (accept(".alias")) {
    std::string name = word();
    expect(",");
    module_.aliases[name] = word();
    expect(";");
  } else {
    declaration();
  }
}

void Parser::fileDirective() {
  const int index = int(integer());
  if (peek().kind != Token::Kind::String) fail("expected a file name");
  module_.files[index] = take().text;
  while (accept(",")) integer();
}

void Parser::declaration() {
  Linkage linkage = Linkage::Internal;
  while (true) {
    if (accept(".extern"))
      linkage = Linkage::Extern;
    else if (accept(".visible"))
      linkage = Linkage::Visible;
    else if (accept(".weak") || accept(".common"))
      linkage = Linkage::Weak;
    else
      break;
  }
  if (accept(".entry")) return function(true, linkage);
  if (accept(".func")) return function(false, linkage);
  const Space space = parseSpace(peek().text);
  if (space == Space::None || space == Space::Reg) fail("unknown directive '" + peek().text + "'");
  ++at_;
  variables(space, linkage, module_.variables);
}

// The part of a variable declaration between the state space and the names.
Variable Parser::variableType(Space space) {
  Variable v;
  v.space = space;
  v.line = peek().line;
  uint32_t count = 1;
  bool aligned = false;
  while (peek().kind == Token::Kind::Directive) {
    const std::string d = take().text;
    if (d == ".align") {
      const uint64_t align = integer();
      if (align == 0 || (align & (align - 1)) != 0 || align > 1u << 16) fail("alignment that is no power of two");
      v.align = uint32_t(align);
      aligned = true;
    } else if (d == ".ptr") {
      while (peek().text == ".global" || peek().text == ".shared" || peek().text == ".const" || peek().text == ".local")
        ++at_;
      if (accept(".align")) integer();
    } else if (d == ".attribute") {
      expect("(");
      v.managed |= accept(".managed");
      skipTo(")");
    } else if (d == ".v2" || d == ".v4") {
      count = uint32_t(d[2] - '0');
    } else if (parseType(d.substr(1)) != Type::None) {
      v.type = parseType(d.substr(1));
    } else if (d == ".texref" || d == ".samplerref" || d == ".surfref") {
      v.type = Type::B64;
    } else {
      fail("unknown type or attribute '" + d + "'");
    }
  }
  if (v.type == Type::None) fail("expected a type before '" + peek().text + "'");
  v.bytes = uint64_t(typeBytes(v.type)) * count;
  if (!aligned) v.align = uint32_t(v.bytes);
  return v;
}

void Parser::dimensions(Variable& v) {
  while (accept("[")) {
    if (accept("]")) {
      v.unsized = true;
    } else {
      const uint64_t count = integer();
      const bool isLarge = v.space == Space::Global || v.space == Space::Const;
      if (count && v.bytes > (isLarge ? kMostGlobalBytes : kMostOtherBytes) / count) fail("array too large");
      v.bytes *= count;
      expect("]");
    }
  }
  if (v.unsized) v.bytes = 0;
}

void Parser::initialiser(Variable& v) {
  const Nesting level(*this);
  if (accept("{")) {
    if (accept("}")) return;
    do initialiser(v);
    while (accept(","));
    expect("}");
    return;
  }
  Initialiser init;
  const bool negative = accept("-");
  const Token t = take();
  if (t.kind == Token::Kind::Integer) {
    init.value = negative ? 0 - t.value : t.value;
    if (accept("(")) {
      init.kind = Initialiser::Kind::Symbol;
      init.mask = init.value;
      symbolInitialiser(init);
      expect(")");
    }
  } else if (t.kind == Token::Kind::Float32 || t.kind == Token::Kind::Float64) {
    const bool narrow = t.kind == Token::Kind::Float32;
    init.kind = narrow ? Initialiser::Kind::Float32 : Initialiser::Kind::Float64;
    init.value = t.value ^ (negative ? (narrow ? 1ull << 31 : 1ull << 63) : 0);
  } else if (t.kind == Token::Kind::Word) {
    --at_;
    init.kind = Initialiser::Kind::Symbol;
    symbolInitialiser(init);
  } else {
    fail("unexpected initialiser '" + t.text + "'");
  }
  v.init.push_back(init);
}

void Parser::symbolInitialiser(Initialiser& init) {
  const Nesting level(*this);
  if (peek().text == "generic" && tokens_[at_ + 1].text == "(") {
    at_ += 2;
    symbolInitialiser(init);
    expect(")");
  } else {
    init.name = word();
  }
  if (accept("+"))
    init.offset += int64_t(integer());
  else if (accept("-"))
    init.offset -= int64_t(integer());
}

void Parser::variables(Space space, Linkage linkage, std::vector<Variable>& out) {
  const Variable proto = variableType(space);
  do {
    Variable v = proto;
    v.linkage = linkage;
    v.line = peek().line;
    v.name = word();
    dimensions(v);
    if (accept("=")) {
      initialiser(v);
      if (v.unsized) v.bytes = v.init.size() * typeBytes(v.type);
      v.unsized = false;
    }
    out.push_back(v);
  } while (accept(","));
  expect(";");
}

std::vector<Variable> Parser::parameterList() {
  std::vector<Variable> out;
  expect("(");
  if (accept(")")) return out;
  do {
    const bool reg = accept(".reg");
    if (!reg) expect(".param");
    Variable v = variableType(reg ? Space::Reg : Space::Param);
    v.name = word();
    dimensions(v);
    out.push_back(v);
  } while (accept(","));
  expect(")");
  return out;
}

void Parser::function(bool entry, Linkage linkage) {
  FunctionAst f;
  f.linkage = linkage;
  f.entry = entry;
  f.line = peek().line;
  while (peek().kind == Token::Kind::Directive) {
    if (accept(".attribute")) {
      expect("(");
      skipTo(")");
    } else {
      ++at_;
    }
  }
  if (peek().text == "(") f.returns = parameterList();
  f.name = word();
  if (peek().text == "(") f.parameters = parameterList();
  auto triple = [&](uint32_t out[3]) {
    out[0] = uint32_t(integer());
    out[1] = accept(",") ? uint32_t(integer()) : 1;
    out[2] = accept(",") ? uint32_t(integer()) : 1;
  };
  while (peek().kind == Token::Kind::Directive) {
    const std::string d = take().text;
    if (d == ".maxntid")
      triple(f.maxThreads);
    else if (d == ".reqntid")
      triple(f.requiredThreads);
    else if (d == ".minnctapersm")
      f.minBlocks = uint32_t(integer());
    else if (d == ".maxnreg")
      f.maxRegisters = uint32_t(integer());
    else if (d == ".maxnctapersm" || d == ".maxclusterrank")
      integer();
    else if (d == ".reqnctapercluster") {
      uint32_t ignored[3];
      triple(ignored);
    } else if (d == ".pragma")
      skipTo(";");
    else if (d == ".noreturn" || d == ".explicitcluster" || d == ".blocksareclusters") {
    } else if (d == ".abi_preserve" || d == ".abi_preserve_control")
      integer();
    else
      fail("unknown function directive '" + d + "'");
  }
  if (!accept(";")) {
    expect("{");
    f.defined = true;
    FunctionParser(*this, f).run();
  }
  auto same =
      std::find_if(module_.functions.begin(), module_.functions.end(), [&](auto& g) { return g.name == f.name; });
  if (same == module_.functions.end())
    module_.functions.push_back(std::move(f));
  else if (f.defined)
    *same = std::move(f);
}

ModuleAst parse(const std::string& text) { return link(Parser(text).run()); }

}  // namespace gpusim::ptx
