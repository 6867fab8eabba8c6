// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "arguments.h"
#include "engine.h"

namespace gpusim::tool {

/// One launch, as the words after `gpusim run` or a line of a batch say it.
struct RunOptions {
  std::string file;
  std::string kernel;  ///< empty: the only one of the file
  Dim3 grid, block;
  uint32_t shared = 0;
  bool cooperative = false;
  std::vector<Argument> arguments;
  std::optional<uint64_t> seed;
  std::optional<std::string> check;
  bool strict = false;
  std::optional<std::string> device;   ///< only on the command line
  std::optional<std::string> profile;  ///< only on the command line
};

/// Throws UsageError. In a batch, what belongs to the whole process is refused.
RunOptions parseRun(const std::vector<std::string>& words, bool inBatch);

/// Splits a batch line at white space; double quotes group.
std::vector<std::string> splitLine(const std::string& line);

}  // namespace gpusim::tool
