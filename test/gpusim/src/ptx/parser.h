// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "ptx/ast.h"
#include "ptx/lexer.h"

namespace gpusim::ptx {

/// Recursive-descent parser of a module; FunctionParser does the bodies.
class Parser {
 public:
  explicit Parser(const std::string& text);
  std::vector<ModuleAst> run();

 private:
  friend class FunctionParser;

  /// A level of what may contain its own kind. Each takes some of the host's stack, which hostile texts must not use
  /// up.
  class Nesting {
   public:
    explicit Nesting(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > 256) parser_.fail("nested too deeply");
    }
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Parser& parser_;
  };

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool accept(const char* text);
  void expect(const char* text);
  std::string word();
  uint64_t integer();
  bool startsConstant() const;
  std::string constantOperator(size_t level) const;
  uint64_t constantExpression(size_t level = 0);
  uint64_t constantTerm();
  void skipTo(const char* text);
  [[noreturn]] void fail(const std::string& message) const;

  void topLevel();
  void fileDirective();
  void declaration();
  Variable variableType(Space space);
  void dimensions(Variable& v);
  void initialiser(Variable& v);
  void symbolInitialiser(Initialiser& init);
  void variables(Space space, Linkage linkage, std::vector<Variable>& out);
  std::vector<Variable> parameterList();
  void function(bool entry, Linkage linkage);

  const std::string& text_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  std::vector<ModuleAst> finished_;
  ModuleAst module_;
};

/// Parses a function's body: scopes, register and variable declarations, labels, instructions.
class FunctionParser {
 public:
  FunctionParser(Parser& parser, FunctionAst& function) : p_(parser), f_(function) {}
  void run();

 private:
  struct Scope {
    int id;
    std::map<std::string, int> registers;
    std::map<std::string, std::string> variables;  ///< name -> unique name
  };

  void block();
  void directive();
  void registerDeclaration();
  void namedDirective(const std::string& name);
  void instruction();
  void callOperands(Statement& s);
  Operand operand();
  Operand simpleOperand();
  Operand vectorRegister(const std::string& name);
  Operand address();
  int findRegister(const std::string& name) const;
  std::string findVariable(const std::string& name) const;
  int addRegister(const std::string& name, Type type);

  Parser& p_;
  FunctionAst& f_;
  std::vector<Scope> scopes_;
  int file_ = 0, sourceLine_ = 0;
  std::vector<SourcePlace> inlinedAt_;
  /// Where the code of a .loc (file, line, column) was itself inlined; a later inlined_at refers to it.
  std::map<std::array<int, 3>, std::vector<SourcePlace>> callSites_;
};

}  // namespace gpusim::ptx
