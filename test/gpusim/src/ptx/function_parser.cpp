// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ptx/parser.h"

namespace gpusim::ptx {
namespace {

/// The predefined, read-only registers of the PTX ISA, whether the simulator can read them or not.
bool isSpecialRegister(const std::string& name) {
  static const char* const kNames[] = {"%tid",        "%ntid",          "%laneid",         "%warpid",
                                       "%nwarpid",    "%ctaid",         "%nctaid",         "%smid",
                                       "%nsmid",      "%gridid",        "%clusterid",      "%nclusterid",
                                       "%cluster_",   "%lanemask_",     "%clock",          "%pm",
                                       "%envreg",     "%globaltimer",   "%reserved_",      "%total_smem_",
                                       "%aggr_smem_", "%dynamic_smem_", "%current_graph_", "%is_explicit_cluster"};
  for (const char* known : kNames)
    if (name.rfind(known, 0) == 0) return true;
  return false;
}

bool takesLabels(const std::string& op) { return op == "bra" || op == "brx"; }

/// Of a function.
constexpr size_t kMostRegisters = size_t(1) << 20;

constexpr const char* kComponents[] = {".x", ".y", ".z", ".w"};

/// `.x` to `.w` or `.r` to `.a` as the component's suffix; empty for other words.
std::string componentSuffix(const std::string& directive) {
  static const std::string kLetters = "xyzwrgba";
  const size_t at = directive.size() == 2 ? kLetters.find(directive[1]) : std::string::npos;
  return at == std::string::npos ? "" : kComponents[at % 4];
}

/// The part of a register that a video instruction uses: `.b0`, `.h1`, `.b3210`.
bool isSelector(const Token& t) {
  return t.kind == Token::Kind::Directive && t.text.size() > 2 && (t.text[1] == 'b' || t.text[1] == 'h') &&
         t.text.find_first_not_of("01234567", 2) == std::string::npos;
}

}  // namespace

void FunctionParser::run() {
  f_.scopeParent.push_back(-1);
  scopes_.push_back({0, {}, {}});
  auto declare = [&](const std::vector<Variable>& list) {
    for (auto& v : list) {
      if (v.space == Space::Reg)
        addRegister(v.name, v.type);
      else
        scopes_.back().variables[v.name] = v.name;
    }
  };
  declare(f_.returns);
  declare(f_.parameters);
  block();
}

void FunctionParser::block() {
  const Parser::Nesting level(p_);
  while (!p_.accept("}")) {
    const Token t = p_.peek();
    if (t.kind == Token::Kind::End) p_.fail("function '" + f_.name + "' without end");
    if (p_.accept(";")) continue;
    if (p_.accept("{")) {
      const int id = int(f_.scopeParent.size());
      f_.scopeParent.push_back(scopes_.back().id);
      scopes_.push_back({id, {}, {}});
      block();
      scopes_.pop_back();
    } else if (t.kind == Token::Kind::Directive) {
      directive();
    } else if (t.kind == Token::Kind::Word && p_.peek(1).text == ":") {
      p_.at_ += 2;
      namedDirective(t.text);
    } else {
      instruction();
    }
  }
}

void FunctionParser::directive() {
  if (p_.accept(".loc")) {
    file_ = int(p_.integer());
    sourceLine_ = int(p_.integer());
    const int column = int(p_.integer());
    inlinedAt_.clear();
    while (p_.accept(",")) {
      if (p_.accept("inlined_at")) {
        std::array<int, 3> site;
        for (int& part : site) part = int(p_.integer());
        inlinedAt_ = {{site[0], site[1]}};
        const auto outer = callSites_.find(site);
        if (outer != callSites_.end()) inlinedAt_.insert(inlinedAt_.end(), outer->second.begin(), outer->second.end());
      } else {
        p_.word();  // function_name $L__info_string+offset
        p_.word();
        if (p_.accept("+")) p_.integer();
      }
    }
    callSites_[{file_, sourceLine_, column}] = inlinedAt_;
    return;
  }
  if (p_.accept(".pragma")) return p_.skipTo(";");
  if (p_.accept(".file")) return p_.fileDirective();
  if (p_.accept(".reg")) return registerDeclaration();
  const std::string d = p_.take().text;
  Space space = d == ".local"    ? Space::Local
                : d == ".shared" ? Space::Shared
                : d == ".param"  ? Space::Param
                : d == ".global" ? Space::Global
                : d == ".const"  ? Space::Const
                                 : Space::None;
  if (space == Space::None) p_.fail("unknown directive '" + d + "'");
  std::vector<Variable> list;
  p_.variables(space, Linkage::Internal, list);
  for (auto& v : list) {
    const std::string name = v.name;
    const int scope = scopes_.back().id;
    // '!' cannot occur in PTX names, so a nested name never meets a module-level one
    if (scope || space == Space::Param) v.name += "!" + std::to_string(scope);
    scopes_.back().variables[name] = v.name;
    f_.locals.push_back(v);
  }
}

int FunctionParser::addRegister(const std::string& name, Type type) {
  const int id = int(f_.registers.size());
  if (f_.registers.size() >= kMostRegisters) p_.fail("too many registers");
  f_.registers.push_back({name, type});
  scopes_.back().registers[name] = id;
  return id;
}

void FunctionParser::registerDeclaration() {
  size_t components = 1;
  while (p_.peek().text == ".align" || p_.peek().text == ".v2" || p_.peek().text == ".v4") {
    const std::string d = p_.take().text;
    if (d == ".align")
      p_.integer();
    else
      components = size_t(d[2] - '0');
  }
  const Type type = parseType(p_.take().text.substr(1));
  if (type == Type::None) p_.fail("unknown register type");
  auto add = [&](const std::string& name) {
    if (components == 1)
      addRegister(name, type);
    else
      for (size_t k = 0; k < components; ++k) addRegister(name + kComponents[k], type);
  };
  do {
    const std::string name = p_.word();
    if (p_.accept("<")) {
      const uint64_t n = p_.integer();
      if (n > kMostRegisters) p_.fail("too many registers");
      for (uint64_t i = 0; i < n; ++i) add(name + std::to_string(i));
      p_.expect(">");
    } else {
      add(name);
    }
  } while (p_.accept(","));
  p_.expect(";");
}

// What follows `name:` -- a label, or a named list or prototype.
void FunctionParser::namedDirective(const std::string& name) {
  if (p_.accept(".branchtargets") || p_.accept(".calltargets")) {
    auto& list = f_.branchTargets[name];
    do list.push_back(p_.word());
    while (p_.accept(","));
    p_.expect(";");
  } else if (p_.accept(".callprototype")) {
    CallPrototype proto;
    if (p_.peek().text == "(") proto.returns = p_.parameterList();
    p_.word();
    if (p_.peek().text == "(") proto.parameters = p_.parameterList();
    p_.skipTo(";");
    f_.prototypes[name] = proto;
  } else {
    f_.labels.push_back({name, scopes_.back().id, uint32_t(f_.statements.size())});
  }
}

int FunctionParser::findRegister(const std::string& name) const {
  for (auto s = scopes_.rbegin(); s != scopes_.rend(); ++s) {
    auto it = s->registers.find(name);
    if (it != s->registers.end()) return it->second;
  }
  return -1;
}

std::string FunctionParser::findVariable(const std::string& name) const {
  for (auto s = scopes_.rbegin(); s != scopes_.rend(); ++s) {
    auto it = s->variables.find(name);
    if (it != s->variables.end()) return it->second;
  }
  return name;
}

/// A register of several components: one of them, or all as a vector.
Operand FunctionParser::vectorRegister(const std::string& name) {
  Operand o{};
  o.kind = Operand::Kind::Register;
  const std::string suffix = componentSuffix(p_.peek().text);
  if (!suffix.empty()) {
    p_.take();
    o.reg = findRegister(name + suffix);
    if (o.reg < 0) p_.fail("'" + name + "' has no component '" + suffix + "'");
    return o;
  }
  Operand all{};
  all.kind = Operand::Kind::Vector;
  for (const char* component : kComponents) {
    o.reg = findRegister(name + component);
    if (o.reg >= 0) all.elements.push_back(o);
  }
  return all;
}

Operand FunctionParser::simpleOperand() {
  const Parser::Nesting level(p_);
  Operand o{};
  if (p_.accept("!")) {
    o = simpleOperand();
    o.negated = true;
    return o;
  }
  if (p_.startsConstant()) {
    o.kind = Operand::Kind::Integer;
    o.value = p_.constantExpression();
    return o;
  }
  const bool negative = p_.accept("-");
  const Token t = p_.take();
  o.negated = negative;
  switch (t.kind) {
    case Token::Kind::Float32:
    case Token::Kind::Float64: {
      const bool narrow = t.kind == Token::Kind::Float32;
      o.kind = narrow ? Operand::Kind::Float32 : Operand::Kind::Float64;
      o.negated = false;
      o.value = t.value ^ (negative ? (narrow ? 1ull << 31 : 1ull << 63) : 0);
      return o;
    }
    case Token::Kind::Word:
      break;
    default:
      p_.fail("unexpected operand '" + t.text + "'");
  }
  if (t.text == "_") {
    o.kind = Operand::Kind::Sink;
    return o;
  }
  if (t.text == "WARP_SZ") {
    o.kind = Operand::Kind::Integer;
    o.value = negative ? uint64_t(-32) : 32;
    o.negated = false;
    return o;
  }
  o.reg = findRegister(t.text);
  if (o.reg >= 0) {
    o.kind = Operand::Kind::Register;
    if (isSelector(p_.peek())) o.name = p_.take().text.substr(1);
    return o;
  }
  if (negative) p_.fail("'-' before '" + t.text + "'");
  if (findRegister(t.text + kComponents[0]) >= 0) return vectorRegister(t.text);
  if (t.text[0] == '%') {
    if (!isSpecialRegister(t.text)) p_.fail("register '" + t.text + "' is not declared");
    o.kind = Operand::Kind::Special;
    o.name = t.text;
    if (p_.peek().kind == Token::Kind::Directive && p_.peek().text.size() == 2) o.name += p_.take().text;
    return o;
  }
  o.kind = Operand::Kind::Symbol;
  o.name = findVariable(t.text);
  if (p_.peek().text == "+" || p_.peek().text == "-") o.offset = int64_t(p_.constantExpression());
  return o;
}

Operand FunctionParser::address() {
  Operand o{};
  o.kind = Operand::Kind::Address;
  Operand base = simpleOperand();
  if (base.kind == Operand::Kind::Symbol) {
    o.offset = base.offset;
    base.offset = 0;
  }
  if (p_.peek().text == "+" || p_.peek().text == "-") o.offset += int64_t(p_.constantExpression());
  o.elements.push_back(base);
  if (p_.accept(",")) o.elements.push_back(operand());
  p_.expect("]");
  return o;
}

Operand FunctionParser::operand() {
  const Parser::Nesting level(p_);
  if (p_.accept("[")) return address();
  if (p_.accept("{")) {
    Operand o{};
    o.kind = Operand::Kind::Vector;
    do o.elements.push_back(simpleOperand());
    while (p_.accept(","));
    p_.expect("}");
    return o;
  }
  Operand o = simpleOperand();
  if (p_.accept("|")) {
    Operand pair{};
    pair.kind = Operand::Kind::Pair;
    pair.elements = {o, simpleOperand()};
    return pair;
  }
  return o;
}

void FunctionParser::callOperands(Statement& s) {
  auto list = [&](std::vector<Operand>& out) {
    if (p_.accept(")")) return;
    do out.push_back(simpleOperand());
    while (p_.accept(","));
    p_.expect(")");
  };
  if (p_.accept("(")) {
    list(s.callReturns);
    p_.expect(",");
  }
  s.operands.push_back(simpleOperand());
  if (p_.accept(",")) {
    if (p_.accept("(")) {
      list(s.callArguments);
      if (p_.accept(",")) s.names.push_back(p_.word());
    } else {
      s.names.push_back(p_.word());
    }
  }
  p_.expect(";");
}

void FunctionParser::instruction() {
  Statement s;
  s.line = p_.peek().line;
  s.file = file_;
  s.sourceLine = sourceLine_;
  s.inlinedAt = inlinedAt_;
  s.scope = scopes_.back().id;
  const uint32_t begin = p_.peek().begin;
  if (p_.accept("@")) {
    s.guardNegated = p_.accept("!");
    const std::string name = p_.word();
    s.guard = findRegister(name);
    if (s.guard < 0 || f_.registers[size_t(s.guard)].type != Type::Pred)
      p_.fail("'" + name + "' is not a predicate register");
  }
  s.line = p_.peek().line;
  s.op.push_back(p_.word());
  while (p_.peek().kind == Token::Kind::Directive) s.op.push_back(p_.take().text.substr(1));
  if (s.op[0] == "call") {
    callOperands(s);
  } else if (!p_.accept(";")) {
    do {
      const bool labelOperand = takesLabels(s.op[0]) && (s.op[0] == "bra" || !s.operands.empty());
      if (labelOperand)
        s.names.push_back(p_.word());
      else
        s.operands.push_back(operand());
    } while (p_.accept(","));
    p_.expect(";");
  }
  const uint32_t end = p_.tokens_[p_.at_ - 1].begin;
  s.text = p_.text_.substr(begin, end - begin);
  // one line, single blanks
  std::string tidy;
  for (char c : s.text) {
    const bool blank = c == '\n' || c == '\t' || c == ' ' || c == '\r';
    if (!blank)
      tidy += c;
    else if (!tidy.empty() && tidy.back() != ' ')
      tidy += ' ';
  }
  s.text = tidy;
  f_.statements.push_back(std::move(s));
}

}  // namespace gpusim::ptx
