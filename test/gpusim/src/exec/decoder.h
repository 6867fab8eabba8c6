// SPDX-License-Identifier: Apache-2.0
/// @file decoder.h
/// What the decoders of single instructions use to turn a parsed statement into an Instruction.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "exec/code.h"
#include "ptx/ast.h"
#include "ptx/cfg.h"

namespace gpusim {

/// Thrown while decoding for an instruction or variant that the simulator does not implement.
struct Unsupported {
  std::string message;
};

/// The dot-separated modifiers of an opcode. Each must be taken by its decoder; `done` throws for what nobody took.
class Modifiers {
 public:
  explicit Modifiers(const ptx::Statement& s);
  bool take(const char* word);
  ptx::Type type();  ///< the next untaken type; Unsupported when there is none
  bool hasType() const;
  std::string next();  ///< the next untaken word, empty when there is none
  void done() const;

 private:
  const ptx::Statement& s_;
  std::vector<bool> taken_;
};

/// A symbol as seen from code.
struct Symbol {
  ptx::Space space = ptx::Space::None;
  uint64_t address = 0;  ///< Global, Const: device address; Shared: offset; Local: offset in the function's frame;
                         ///< Param: offset in the parameter area
  uint64_t bytes = 0;
  bool kernelParameter = false;
  bool isFunction = false;
};

/// Resolves names beyond the function; implemented by the module builder.
class Linker {
 public:
  virtual ~Linker() = default;
  virtual const Symbol* find(const std::string& name) = 0;
  virtual int functionIndex(const std::string& name) = 0;  ///< -1 when not defined in the module
};

class Decoder {
 public:
  Decoder(Linker& linker, ModuleCode& module, const ptx::FunctionAst& f, FunctionCode& code,
          const std::map<std::string, Symbol>& locals, const ptx::RegisterLayout& layout);

  /// Size of a register operand's value (2, 4, 8, 16), 0 for a predicate or anything else.
  unsigned bytesOf(const ptx::Operand& o) const;
  bool isPredicate(const ptx::Operand& o) const;
  /// A register of exactly `bytes`, a matching special register, or a broadcast constant.
  Ref source(const ptx::Operand& o, unsigned bytes);
  /// As source; floating-point constants are converted to `type`.
  Ref source(const ptx::Operand& o, ptx::Type type);
  Ref destination(const ptx::Operand& o, unsigned bytes);
  /// A predicate operand, negation resolved, or a constant.
  Ref predicateSource(const ptx::Operand& o);
  Ref predicateDestination(const ptx::Operand& o);
  Ref constant(unsigned bytes, uint64_t bits);
  Ref predicateConstant(bool value);
  Ref temporary(unsigned bytes);
  Ref temporaryPredicate();

  const Symbol* symbol(const std::string& name) const;
  /// The value of `name+offset` as code sees it: a constant, or computed into a temporary for local variables.
  Ref symbolValue(const ptx::Operand& o, unsigned bytes);
  /// Splits `[base+offset]` into a 64-bit (or 32-bit) base reference and an offset; a plain symbol gives a constant.
  Ref address(const ptx::Operand& o, unsigned& baseBytes, int64_t& offset, const Symbol** sym);

  /// Appends an instruction; helpers are not counted by the profiler.
  void emit(const Instruction& in) { module.code.push_back(in); }
  Instruction helper(Handler run) const;
  /// Memory that lives as long as the code.
  template <class T>
  T* payload() {
    auto p = std::make_shared<T>();
    module.payloads.push_back(p);
    return p.get();
  }

  Linker& linker;
  ModuleCode& module;
  const ptx::FunctionAst& function;
  FunctionCode& code;
  uint32_t origin = 0;  ///< of the statement being decoded
  Ref guard = kNoRef;   ///< of the statement being decoded
  uint32_t guardFlip = 0;

 private:
  Ref reg(int index) const { return makeRef(kFrameBase, layout_.offset[size_t(index)]); }

  const std::map<std::string, Symbol>& locals_;
  const ptx::RegisterLayout& layout_;
  std::map<std::pair<unsigned, uint64_t>, Ref> constants_;
  std::map<unsigned, Ref> sink_;
};

/// Special registers that are plain per-warp or per-block values; kNoRef for those that change while running.
Ref specialRegister(const std::string& name);

/// Emits a copy of `bytes` between a register (or, to store, a constant) and the parameter area of the frame.
void moveParameter(Decoder& d, const Instruction& guarded, const ptx::Operand& value, uint32_t offset, unsigned bytes,
                   bool store);

/// Decoders by group; each returns false when the opcode is not its own, and throws Unsupported for variants.
using DecodeFunction = bool (*)(Decoder& d, const ptx::Statement& s, Instruction& in);
bool decodeMemory(Decoder& d, const ptx::Statement& s, Instruction& in);
bool decodeAtomic(Decoder& d, const ptx::Statement& s, Instruction& in);
bool decodeSynchronisation(Decoder& d, const ptx::Statement& s, Instruction& in);
bool decodeWarp(Decoder& d, const ptx::Statement& s, Instruction& in);
bool decodeAsyncCopy(Decoder& d, const ptx::Statement& s, Instruction& in);
bool decodeMbarrier(Decoder& d, const ptx::Statement& s, Instruction& in);
bool decodeMatrix(Decoder& d, const ptx::Statement& s, Instruction& in);
bool decodeMisc(Decoder& d, const ptx::Statement& s, Instruction& in);
/// Arithmetic is compiled for several instruction sets of the host; this picks the best that the host has.
DecodeFunction arithmeticDecoder();

}  // namespace gpusim
