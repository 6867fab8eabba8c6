// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "check/check.h"
#include "check/race.h"
#include "exec/context.h"

namespace gpusim {

/// Collects the findings of one launch; may be called from all its workers. The same finding at the same instruction
/// is kept once, from the block that comes first in the launch's order, and counted. What blocks found that come after
/// one that failed is dropped, so that the result does not depend on timing.
class Reporter {
 public:
  explicit Reporter(LaunchState& launch) : launch_(launch) {}

  /// `fatal`: it stops the launch; else it is a hazard, which a GPU does not notice.
  void add(ReportKind kind, const Instruction* in, const Block* block, uint32_t thread, const std::string& message,
           uint64_t address, bool fatal);
  /// Counts a hazard that is known already, at this instruction and from this block or an earlier one: the caller is
  /// spared to describe it.
  bool counted(ReportKind kind, const Instruction& in, const Block& block);
  void sharedRace(Context& c, const Instruction& in, uint32_t lane, const RaceHit& hit, bool write, uint64_t offset);
  void globalRace(Context& c, const Instruction& in, uint32_t lane, const GlobalRace& race);
  void globalRaceAtEnd(const GlobalRace& race);

  /// The reports by block and instruction, fatal ones first.
  std::vector<Report> take();
  /// What a GPU would return for the gravest finding.
  static Status statusOf(ReportKind kind);

 private:
  struct Entry {
    Report report;
    uint64_t position = 0;
    std::map<uint64_t, uint64_t> counts;  ///< by position of the block
  };
  std::string where(uint32_t pc) const;
  void addAt(ReportKind kind, const Origin* origin, uint64_t position, uint64_t block, uint32_t thread,
             const std::string& message, uint64_t address, bool fatal);

  LaunchState& launch_;
  std::mutex mutex_;
  std::map<std::pair<int, const Origin*>, Entry> entries_;
};

}  // namespace gpusim
