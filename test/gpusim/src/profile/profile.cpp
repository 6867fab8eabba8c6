// SPDX-License-Identifier: Apache-2.0
#include "profile/profile.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <sstream>

namespace gpusim {
namespace {

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char text[8];
      std::snprintf(text, sizeof text, "\\u%04x", unsigned(c));
      out += text;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void writeClasses(std::stringstream& s, const char* name,
                  const std::array<uint64_t, size_t(InstructionClass::Count)>& counts) {
  s << ",\"" << name << "\":{";
  bool first = true;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (!counts[i]) continue;
    s << (first ? "" : ",") << "\"" << instructionClassName(InstructionClass(i)) << "\":" << counts[i];
    first = false;
  }
  s << "}";
}

}  // namespace

const char* instructionClassName(InstructionClass c) {
  static const char* const kNames[] = {
      "integer",    "float32",   "float64",  "half",       "special",     "convert",    "move",        "predicate",
      "control",    "barrier",   "warpSync", "loadGlobal", "storeGlobal", "loadShared", "storeShared", "loadLocal",
      "storeLocal", "loadConst", "atomic",   "asyncCopy",  "matrix",      "fence"};
  static_assert(sizeof kNames / sizeof *kNames == size_t(InstructionClass::Count));
  return kNames[size_t(c)];
}

void ProfileRecord::add(const ProfileRecord& o) {
  warpInstructions += o.warpInstructions, threadInstructions += o.threadInstructions;
  for (size_t i = 0; i < warpByClass.size(); ++i)
    warpByClass[i] += o.warpByClass[i], threadByClass[i] += o.threadByClass[i];
  globalLoadRequests += o.globalLoadRequests, globalLoadSectors += o.globalLoadSectors;
  globalLoadIdealSectors += o.globalLoadIdealSectors, globalLoadBytes += o.globalLoadBytes;
  globalStoreRequests += o.globalStoreRequests, globalStoreSectors += o.globalStoreSectors;
  globalStoreIdealSectors += o.globalStoreIdealSectors, globalStoreBytes += o.globalStoreBytes;
  globalBytesTouched += o.globalBytesTouched;
  sharedLoadWavefronts += o.sharedLoadWavefronts, sharedLoadIdeal += o.sharedLoadIdeal;
  sharedStoreWavefronts += o.sharedStoreWavefronts, sharedStoreIdeal += o.sharedStoreIdeal;
  matrixOperations += o.matrixOperations, barriers += o.barriers, atomics += o.atomics;
  divergentBranches += o.divergentBranches, branches += o.branches;
  conflicts.insert(conflicts.end(), o.conflicts.begin(), o.conflicts.end());
}

std::string ProfileRecord::toJson() const {
  std::stringstream s;
  auto number = [&](const char* name, uint64_t v) { s << ",\"" << name << "\":" << v; };
  s << "{\"kernel\":" << quoted(kernel) << ",\"device\":" << quoted(device) << ",\"simulated\":true";
  s << ",\"grid\":[" << grid[0] << "," << grid[1] << "," << grid[2] << "],\"block\":[" << block[0] << "," << block[1]
    << "," << block[2] << "]";
  number("staticShared", staticShared), number("dynamicShared", dynamicShared);
  number("registers", registers), number("residentBlocks", residentBlocks);
  number("warpInstructions", warpInstructions), number("threadInstructions", threadInstructions);
  writeClasses(s, "warpByClass", warpByClass);
  writeClasses(s, "threadByClass", threadByClass);
  number("globalLoadRequests", globalLoadRequests), number("globalLoadSectors", globalLoadSectors);
  number("globalLoadIdealSectors", globalLoadIdealSectors), number("globalLoadBytes", globalLoadBytes);
  number("globalStoreRequests", globalStoreRequests), number("globalStoreSectors", globalStoreSectors);
  number("globalStoreIdealSectors", globalStoreIdealSectors), number("globalStoreBytes", globalStoreBytes);
  number("globalBytesTouched", globalBytesTouched);
  number("sharedLoadWavefronts", sharedLoadWavefronts), number("sharedLoadIdeal", sharedLoadIdeal);
  number("sharedStoreWavefronts", sharedStoreWavefronts), number("sharedStoreIdeal", sharedStoreIdeal);
  number("matrixOperations", matrixOperations), number("barriers", barriers), number("atomics", atomics);
  number("branches", branches), number("divergentBranches", divergentBranches);
  s << ",\"conflicts\":[";
  for (size_t i = 0; i < conflicts.size(); ++i) {
    const BankConflictSite& c = conflicts[i];
    s << (i ? "," : "") << "{\"ptxLine\":" << c.ptxLine << ",\"source\":" << quoted(c.source)
      << ",\"text\":" << quoted(c.text) << ",\"accesses\":" << c.accesses << ",\"wavefronts\":" << c.wavefronts
      << ",\"ideal\":" << c.ideal << "}";
  }
  s << "]}";
  return s.str();
}

bool profileRequested() {
  const char* name = std::getenv("GPUSIM_PROFILE");
  return name && *name;
}

void appendProfile(const ProfileRecord& record) {
  if (!profileRequested()) return;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  static bool fresh = true;  // the first record of the process starts the file anew
  const char* name = std::getenv("GPUSIM_PROFILE");
  std::FILE* f = fresh ? nullptr : std::fopen(name, "r+");
  if (f) {
    std::fseek(f, -2, SEEK_END);
    std::fprintf(f, ",\n%s]\n", record.toJson().c_str());
  } else if ((f = std::fopen(name, "w"))) {
    std::fprintf(f, "[%s]\n", record.toJson().c_str());
  }
  if (f) std::fclose(f);
  fresh = false;
}

}  // namespace gpusim
