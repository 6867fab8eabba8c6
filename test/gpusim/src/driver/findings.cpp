// SPDX-License-Identifier: Apache-2.0
#include "findings.h"

#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "log.h"

namespace gpusim {
namespace {

struct Sighting {
  std::string place;  ///< source line, else PTX line
  uint64_t launches = 0, count = 0;
};

struct Findings {
  std::mutex mutex;
  std::map<std::tuple<std::string, ReportKind, int, std::string>, Sighting> sightings;
};

// Never destroyed: streams may still report while the process ends.
Findings& findings() {
  static auto* instance = new Findings;
  return *instance;
}

}  // namespace

bool isNews(const Report& report) {
  Findings& all = findings();
  std::lock_guard lock(all.mutex);
  Sighting& seen = all.sightings[{report.kernel, report.kind, report.ptxLine, report.ptxText}];
  seen.count += report.count;
  if (++seen.launches > 1) return false;
  seen.place = report.sourceFile.empty() ? "PTX line " + std::to_string(report.ptxLine)
                                         : report.sourceFile + ":" + std::to_string(report.sourceLine);
  return true;
}

void reportRepeated() {
  Findings& all = findings();
  std::lock_guard lock(all.mutex);
  for (const auto& [key, seen] : all.sightings) {
    if (seen.launches < 2) continue;
    logText("in all " + std::to_string(seen.count) + " times in " + std::to_string(seen.launches) + " launches: " +
            reportKindName(std::get<ReportKind>(key)) + " in kernel " + std::get<0>(key) + " at " + seen.place);
  }
}

}  // namespace gpusim
