// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>

namespace gpusim {
namespace {

struct Log {
  std::mutex mutex;
  std::set<std::string> said;
  FILE* file = stderr;
  bool asked = false;  ///< GPUSIM_LOG is set

  Log() {
    const char* path = std::getenv("GPUSIM_LOG");
    if (!path || !*path) return;
    asked = true;
    if (std::string(path) == "-") return;
    if (FILE* opened = std::fopen(path, "a")) {
      file = opened;
    } else {
      std::fprintf(stderr, "gpusim: GPUSIM_LOG: cannot open %s, writing here\n", path);
    }
  }
};

Log& log() {
  static auto* instance = new Log;
  return *instance;
}

void write(FILE* file, const std::string& text) {
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const bool marked = text[begin] == ' ' || text.compare(begin, 7, "gpusim:") == 0;
    std::fprintf(file, "%s%.*s\n", marked ? "" : "gpusim: ", static_cast<int>(end - begin), text.c_str() + begin);
    begin = end + 1;
  }
  std::fflush(file);
}

}  // namespace

void logText(const std::string& text) {
  Log& target = log();
  std::lock_guard lock(target.mutex);
  write(target.file, text);
}

void logRefusal(const std::string& text) {
  if (log().asked) logText(text);
}

void logOnce(const std::string& text) {
  Log& target = log();
  std::lock_guard lock(target.mutex);
  if (target.said.insert(text).second) write(target.file, text);
}

}  // namespace gpusim
