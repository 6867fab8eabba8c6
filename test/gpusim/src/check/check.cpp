// SPDX-License-Identifier: Apache-2.0
#include "check/check.h"

#include <cstdlib>
#include <sstream>

namespace gpusim {

CheckOptions CheckOptions::fromEnvironment(std::string* error) {
  const char* text = std::getenv("GPUSIM_CHECK");
  CheckOptions options = text && *text ? none() : CheckOptions{};
  std::stringstream list(text ? text : "");
  for (std::string word; std::getline(list, word, ',');) {
    if (word == "all")
      options = {};
    else if (word == "none")
      options = none();
    else if (word == "memcheck")
      options.memory = true;
    else if (word == "initcheck")
      options.init = true;
    else if (word == "racecheck")
      options.race = true;
    else if (word == "synccheck")
      options.sync = true;
    else {
      if (error)
        *error = "GPUSIM_CHECK: unknown check '" + word +
                 "' (allowed: all, none, memcheck, initcheck, racecheck, synccheck)";
      return {};
    }
  }
  const char* strict = std::getenv("GPUSIM_STRICT");
  const std::string value = strict ? strict : "";
  if (error && !value.empty() && value != "0" && value != "1")
    *error = "GPUSIM_STRICT: '" + value + "' (allowed: 0, 1)";
  options.strict = value == "1";
  return options;
}

const char* reportKindName(ReportKind kind) {
  switch (kind) {
    case ReportKind::OutOfBounds:
      return "out-of-bounds";
    case ReportKind::Misaligned:
      return "misaligned";
    case ReportKind::Uninitialised:
      return "uninitialised";
    case ReportKind::SharedRace:
      return "shared-race";
    case ReportKind::GlobalRace:
      return "global-race";
    case ReportKind::Barrier:
      return "barrier";
    case ReportKind::WarpSync:
      return "warp-sync";
    case ReportKind::Trap:
      return "trap";
    case ReportKind::Assert:
      return "assert";
    case ReportKind::StackOverflow:
      return "stack-overflow";
    case ReportKind::IllegalInstruction:
      return "illegal-instruction";
    case ReportKind::Timeout:
      return "timeout";
  }
  return "unknown";
}

std::string Report::format() const {
  std::stringstream s;
  s << "gpusim: " << reportKindName(kind) << ": " << message << "\n";
  s << "    in kernel " << kernel << ", block (" << block[0] << "," << block[1] << "," << block[2] << "), thread ("
    << thread[0] << "," << thread[1] << "," << thread[2] << ")\n";
  if (ptxLine) s << "    at PTX line " << ptxLine << ": " << ptxText << "\n";
  if (!sourceFile.empty()) s << "    at " << sourceFile << ":" << sourceLine << "\n";
  for (const std::string& site : inlinedAt) s << "    inlined at " << site << "\n";
  if (count > 1) s << "    (" << count << " times)\n";
  return s.str();
}

}  // namespace gpusim
