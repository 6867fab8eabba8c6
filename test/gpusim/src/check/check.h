// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gpusim {

/// The four tools. All are on unless GPUSIM_CHECK says otherwise: `none`, `all`, or a comma-separated list of
/// `memcheck`, `initcheck`, `racecheck`, `synccheck`.
struct CheckOptions {
  bool memory = true;  ///< bounds and alignment; off: unmapped addresses still fail the launch
  bool init = true;
  bool race = true;
  bool sync = true;
  bool strict = false;  ///< GPUSIM_STRICT: a launch fails for what a GPU would run on with, too
  static CheckOptions none() { return {false, false, false, false}; }
  /// Reads GPUSIM_CHECK and GPUSIM_STRICT; an unknown word is an error, given in `error`.
  static CheckOptions fromEnvironment(std::string* error = nullptr);
};

enum class ReportKind : uint8_t {
  OutOfBounds,
  Misaligned,
  Uninitialised,
  SharedRace,
  GlobalRace,
  Barrier,   ///< divergent or mismatched barrier, deadlock
  WarpSync,  ///< a *.sync instruction with lanes missing
  Trap,
  Assert,
  StackOverflow,
  IllegalInstruction,
  Timeout,
};

const char* reportKindName(ReportKind kind);

/// One finding of a launch.
struct Report {
  ReportKind kind = ReportKind::OutOfBounds;
  bool fatal = false;   ///< stopped the launch; else a hazard, which a GPU does not notice
  std::string message;  ///< what happened, in one sentence
  std::string kernel;
  uint32_t block[3] = {0, 0, 0};
  uint32_t thread[3] = {0, 0, 0};
  int ptxLine = 0;         ///< line in the PTX text, 1-based
  std::string ptxText;     ///< the instruction
  std::string sourceFile;  ///< with -lineinfo
  int sourceLine = 0;
  std::vector<std::string> inlinedAt;  ///< call sites "file:line" of inlined code, innermost first
  uint64_t address = 0;
  uint64_t count = 1;  ///< how often the same finding was made at this instruction

  /// A few lines for a human: tool, message, kernel, block, thread, PTX line, source line.
  std::string format() const;
};

}  // namespace gpusim
