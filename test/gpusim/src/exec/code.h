// SPDX-License-Identifier: Apache-2.0
/// @file code.h
/// Decoded code. An operand is a 32-bit reference: two bits choose a base (frame registers, the function's constants,
/// the warp's or the block's special values), thirty bits are a byte offset. Behind it lie 32 lane values side by side;
/// a predicate is one 32-bit mask.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "profile/profile.h"
#include "ptx/ast.h"

namespace gpusim {

struct Context;
struct Instruction;
using Handler = void (*)(Context&, const Instruction&);
using Ref = uint32_t;

constexpr Ref kNoRef = ~0u;
enum RefBase : uint32_t { kFrameBase = 0, kConstantBase = 1, kWarpBase = 2, kBlockBase = 3 };
constexpr Ref makeRef(RefBase base, uint32_t offset) { return (uint32_t(base) << 30) | offset; }
constexpr int kLanes = 32;
constexpr uint32_t kAllLanes = ~0u;
constexpr uint32_t kNoPc = ~0u;

/// Windows of the generic address space other than global memory, whose addresses are the reserved range's own.
constexpr uint64_t kSharedWindow = 0x0100'0000'0000;
constexpr uint64_t kLocalWindow = 0x0200'0000'0000;
constexpr uint64_t kParamWindow = 0x0300'0000'0000;
constexpr uint64_t kFunctionWindow = 0x0400'0000'0000;  ///< "addresses" of functions
constexpr uint64_t kWindowBytes = 0x0100'0000'0000;

struct Instruction {
  Handler run = nullptr;
  Ref dst = kNoRef, a = kNoRef, b = kNoRef, c = kNoRef, dst2 = kNoRef;
  Ref guard = kNoRef;
  uint32_t guardFlip = 0;  ///< all ones for `@!p`
  uint32_t origin = 0;     ///< index in ModuleCode::origins
  uint64_t imm = 0;
  const void* payload = nullptr;  ///< operation-specific, owned by ModuleCode
  uint32_t aux = 0;
  InstructionClass kind = InstructionClass::Integer;
  bool counted = true;  ///< false for the decoder's own additions
};

/// Where an instruction came from.
struct Origin {
  int line = 0, file = 0, sourceLine = 0;
  std::string text;
  std::vector<ptx::SourcePlace> inlinedAt;  ///< call sites of inlined code, innermost first
};

/// Memory operation of ld/st/atom and relatives.
struct MemoryOp {
  ptx::Space space = ptx::Space::Generic;
  uint8_t elementBytes = 4;
  uint8_t count = 1;          ///< vector elements
  bool isSigned = false;      ///< sign-extend a narrow load
  bool synchronises = false;  ///< volatile, relaxed, acquire, release, atomic: exempt from race checks
  bool acquire = false, release = false, isVolatile = false;
  bool kernelParameter = false;  ///< .param of the entry function
  std::array<Ref, 8> value = {kNoRef, kNoRef, kNoRef, kNoRef, kNoRef, kNoRef, kNoRef, kNoRef};
  std::array<uint8_t, 8> valueBytes = {};  ///< register size of each
};

struct FunctionCode {
  std::string name;
  bool entry = false;
  uint32_t pc = 0;  ///< first instruction
  uint32_t endPc = 0;
  uint32_t frameBytes = 0;  ///< registers of one warp
  uint32_t paramBytes = 0;  ///< formal and call-site parameters of one lane
  uint32_t localBytes = 0;  ///< local variables of one lane, without callees
  uint32_t stackBytes = 0;  ///< with the deepest chain of known callees
  bool recursive = false;
  std::vector<uint8_t> constants;
  struct Slot {
    uint32_t offset = 0, bytes = 0;
  };
  std::vector<Slot> formals, returns;
  int tableIndex = -1;  ///< its "address" is kFunctionWindow + 16 * tableIndex
  uint32_t liveRegisters = 0;
};

struct CallSite {
  int function = -1;  ///< index of a defined function; -1: builtin or indirect
  int builtin = -1;
  bool indirect = false;
  std::vector<FunctionCode::Slot> arguments, returns;  ///< in the caller's parameter area
};

struct BranchTable {
  std::vector<uint32_t> targets;
};

struct ModuleCode {
  std::vector<Instruction> code;
  std::vector<Origin> origins;
  std::map<int, std::string> files;
  std::deque<FunctionCode> functions;
  std::deque<MemoryOp> memoryOps;
  std::deque<CallSite> callSites;
  std::deque<BranchTable> branchTables;
  std::vector<std::shared_ptr<void>> payloads;  ///< others
};

/// What a launch needs beyond the module's code.
struct KernelCode {
  std::shared_ptr<ModuleCode> module;
  int function = 0;
  bool singleWorker = false;  ///< inter-block communication: interleave blocks on one thread
  uint32_t sharedStatic = 0;
  uint32_t stackBytes = 0;
  bool recursive = false;
  uint32_t minStoreBytes = 4;  ///< least store to shared or global memory: the granule of the race checks
};

}  // namespace gpusim
