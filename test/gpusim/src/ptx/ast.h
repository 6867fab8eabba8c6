// SPDX-License-Identifier: Apache-2.0
/// @file ast.h
/// PTX as parsed: names resolved to registers, everything else still by name.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gpusim::ptx {

/// Fundamental types. Alternate formats live in bit registers of their size.
enum class Type : uint8_t {
  None,
  Pred,
  B8,
  B16,
  B32,
  B64,
  B128,
  U8,
  U16,
  U32,
  U64,
  S8,
  S16,
  S32,
  S64,
  F16,
  F16x2,
  BF16,
  BF16x2,
  F32,
  F64,
  TF32,
  E4M3x2,
  E5M2x2,
  E4M3,
  E5M2,
  U4,
  S4,
  B1
};

Type parseType(const std::string& word);  ///< "f32" -> F32; None when it is no type
unsigned typeBytes(Type t);               ///< storage size; 1 for Pred and the sub-byte types
bool isSigned(Type t);
bool isFloat(Type t);

enum class Space : uint8_t { None, Reg, Global, Const, Shared, Local, Param, Generic };

struct Register {
  std::string name;
  Type type = Type::None;
};

struct Operand {
  enum class Kind : uint8_t { Register, Integer, Float32, Float64, Symbol, Special, Vector, Address, Sink, Pair } kind;
  int reg = -1;          ///< Register
  bool negated = false;  ///< `!p`, or `-r` in vmad
  uint64_t value = 0;    ///< Integer, or the bits of Float32/Float64
  std::string name;      ///< Symbol, Special ("%tid.x"); Register: the selected part ("b0") in video instructions
  int64_t offset = 0;    ///< Address: added to elements[0]; Symbol: name+offset
  std::vector<Operand> elements;  ///< Vector; Address (base, coordinates of a texture); Pair (d|p)
};

/// A place in a source file: its number in ModuleAst::files and its line.
struct SourcePlace {
  int file = 0, line = 0;
};

struct Statement {
  int line = 0;
  int file = 0, sourceLine = 0;        ///< from .loc
  std::vector<SourcePlace> inlinedAt;  ///< call sites of inlined code, innermost first
  int guard = -1;                      ///< predicate register
  bool guardNegated = false;
  std::vector<std::string> op;  ///< opcode split at the dots: {"ld","global","f32"}
  std::vector<Operand> operands;
  std::vector<std::string> names;  ///< labels of bra/brx, function/prototype of call
  std::vector<Operand> callReturns, callArguments;
  int scope = 0;  ///< block in which labels are looked up
  std::string text;

  bool has(const char* word) const;
};

struct Initialiser {
  enum class Kind : uint8_t { Integer, Float32, Float64, Symbol } kind = Kind::Integer;
  uint64_t value = 0;
  std::string name;
  int64_t offset = 0;
  uint64_t mask = 0;  ///< `0xFF00(name)`: take these bits of the address; 0: all
};

/// Who sees a symbol of a module when several are linked.
enum class Linkage : uint8_t {
  Internal,  ///< its module only
  Visible,
  Weak,    ///< also .common: one of several definitions is taken
  Extern,  ///< defined elsewhere
};

struct Variable {
  std::string name;
  Linkage linkage = Linkage::Internal;
  Space space = Space::None;
  Type type = Type::None;
  uint32_t align = 1;
  uint64_t bytes = 0;
  bool unsized = false;  ///< `[]`
  bool managed = false;  ///< `.attribute(.managed)`
  std::vector<Initialiser> init;
  int line = 0;
};

struct Label {
  std::string name;
  int scope = 0;
  uint32_t target = 0;  ///< index of the statement it precedes
};

struct CallPrototype {
  std::vector<Variable> returns, parameters;
};

struct FunctionAst {
  std::string name;
  Linkage linkage = Linkage::Internal;
  bool entry = false;
  bool defined = false;
  std::vector<Variable> returns, parameters;
  std::vector<Variable> locals;  ///< .local/.shared/.param/... declared inside; names are made unique by scope
  std::vector<Register> registers;
  std::vector<Statement> statements;
  std::vector<Label> labels;
  std::vector<int> scopeParent;  ///< scope -> enclosing scope; scope 0 is the body
  std::map<std::string, std::vector<std::string>> branchTargets;
  std::map<std::string, CallPrototype> prototypes;
  uint32_t maxThreads[3] = {0, 0, 0};
  uint32_t requiredThreads[3] = {0, 0, 0};
  uint32_t minBlocks = 0, maxRegisters = 0;
  int line = 0;
};

struct ModuleAst {
  int version = 0;  ///< 90 for 9.0
  std::string target;
  int targetSm = 0;
  std::vector<Variable> variables;
  std::vector<FunctionAst> functions;
  std::map<int, std::string> files;
  std::map<std::string, std::string> aliases;
};

/// A syntax error: line (1-based) and what is wrong.
struct ParseError {
  int line;
  std::string message;
};

/// Parses a PTX text; where several modules follow each other, as cuLink puts them, they are linked. @throws ParseError
ModuleAst parse(const std::string& text);
/// One module of several: internal symbols stay apart, the others meet their declarations. @throws ParseError for a
/// symbol that is defined twice
ModuleAst link(std::vector<ModuleAst> modules);

}  // namespace gpusim::ptx
