// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ptx/ast.h"

namespace gpusim::ptx {

struct BasicBlock {
  uint32_t first = 0, end = 0;  ///< statements [first, end)
  std::vector<uint32_t> successors;
  bool exits = false;               ///< may leave the function
  int immediatePostDominator = -1;  ///< block, or -1 when only the function's end post-dominates
  bool joins = false;               ///< is the immediate post-dominator of a block with several ways out
};

/// Control-flow graph of a function body. Paths that end in `trap` do not count for post-dominance.
struct Cfg {
  std::vector<BasicBlock> blocks;
  std::vector<uint32_t> blockOf;  ///< statement -> block

  /// @throws ParseError for a branch to an unknown label
  static Cfg build(const FunctionAst& f);
};

/// Statement a label stands for, seen from a scope. @throws ParseError
uint32_t resolveLabel(const FunctionAst& f, const std::string& name, int scope, int line);
/// Targets of a branch statement (bra, brx.idx).
std::vector<uint32_t> branchTargets(const FunctionAst& f, const Statement& s);

/// Registers a statement writes and reads (guard and address bases included).
struct Accesses {
  std::vector<int> defs, uses;
};
Accesses registerAccesses(const Statement& s);

/// Storage of a function's registers in a warp's frame: registers that are never live together share a slot.
struct RegisterLayout {
  std::vector<uint32_t> offset;  ///< by register: byte offset in the frame
  uint32_t bytes = 0;            ///< of the whole frame
  uint32_t maxLive = 0;          ///< most 32-bit registers live at once in one thread
};
RegisterLayout layoutRegisters(const FunctionAst& f, const Cfg& cfg);

/// Size in bytes of one lane's value of a register: 2, 4, 8 or 16; predicates count 0.
unsigned registerBytes(Type t);

}  // namespace gpusim::ptx
