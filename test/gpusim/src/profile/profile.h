// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace gpusim {

/// Classes by which executed instructions are counted.
enum class InstructionClass : uint8_t {
  Integer,
  Float32,
  Float64,
  Half,     ///< f16, bf16 and their packed forms
  Special,  ///< approximations of the special-function unit
  Convert,
  Move,
  Predicate,
  Control,
  Barrier,
  WarpSync,  ///< shfl, vote, match, redux, bar.warp
  LoadGlobal,
  StoreGlobal,
  LoadShared,
  StoreShared,
  LoadLocal,
  StoreLocal,
  LoadConst,  ///< const and param space
  Atomic,
  AsyncCopy,
  Matrix,  ///< mma, wmma
  Fence,
  Count
};

const char* instructionClassName(InstructionClass c);

/// Shared-memory traffic of one instruction of the kernel.
struct BankConflictSite {
  int ptxLine = 0;
  std::string source;       ///< "file:line" with -lineinfo, else empty
  std::string text;         ///< the PTX instruction
  uint64_t accesses = 0;    ///< warp-level executions
  uint64_t wavefronts = 0;  ///< bank passes they took
  uint64_t ideal = 0;       ///< passes they would take without a conflict
};

/// Counters of one launch. All are counts made by the simulator of the PTX that ran; none is a time.
struct ProfileRecord {
  std::string kernel;
  std::string device;
  uint32_t grid[3] = {1, 1, 1};
  uint32_t block[3] = {1, 1, 1};
  uint64_t staticShared = 0;
  uint64_t dynamicShared = 0;
  uint32_t registers = 0;       ///< estimate per thread
  uint32_t residentBlocks = 0;  ///< over the whole device

  uint64_t warpInstructions = 0;    ///< issue slots: warp-level executions
  uint64_t threadInstructions = 0;  ///< lane-level executions (guard true)
  std::array<uint64_t, size_t(InstructionClass::Count)> warpByClass = {};
  std::array<uint64_t, size_t(InstructionClass::Count)> threadByClass = {};

  uint64_t globalLoadRequests = 0, globalLoadSectors = 0, globalLoadIdealSectors = 0, globalLoadBytes = 0;
  uint64_t globalStoreRequests = 0, globalStoreSectors = 0, globalStoreIdealSectors = 0, globalStoreBytes = 0;
  uint64_t globalBytesTouched = 0;  ///< distinct bytes of the 32-byte sectors touched: the compulsory traffic
  uint64_t sharedLoadWavefronts = 0, sharedLoadIdeal = 0;
  uint64_t sharedStoreWavefronts = 0, sharedStoreIdeal = 0;
  uint64_t matrixOperations = 0;  ///< multiplications and additions of mma (2*M*N*K each)
  uint64_t barriers = 0;          ///< barriers a warp arrived at
  uint64_t atomics = 0;           ///< lane-level atomic operations
  uint64_t divergentBranches = 0;
  uint64_t branches = 0;
  std::vector<BankConflictSite> conflicts;  ///< instructions with more wavefronts than ideal, worst first

  void add(const ProfileRecord& other);
  /// One JSON object, on one line.
  std::string toJson() const;
};

/// Appends records to the file named by GPUSIM_PROFILE, which holds a JSON array after every append; no-op if unset.
void appendProfile(const ProfileRecord& record);
bool profileRequested();

}  // namespace gpusim
