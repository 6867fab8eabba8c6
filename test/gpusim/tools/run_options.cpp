// SPDX-License-Identifier: Apache-2.0
#include "run_options.h"

#include <functional>
#include <map>
#include <utility>

namespace gpusim::tool {
namespace {

Dim3 parseDim(const std::string& text, const std::string& option) {
  Dim3 dim;
  uint32_t* const parts[] = {&dim.x, &dim.y, &dim.z};
  size_t begin = 0;
  for (size_t i = 0; i < 3; ++i) {
    const size_t comma = text.find(',', begin);
    *parts[i] = static_cast<uint32_t>(parseUnsigned(text.substr(begin, comma - begin), 0xffffffff, option.c_str()));
    if (comma == std::string::npos) return dim;
    begin = comma + 1;
  }
  throw UsageError(option + " takes at most three numbers");
}

}  // namespace

RunOptions parseRun(const std::vector<std::string>& words, bool inBatch) {
  RunOptions run;
  const std::map<std::string, std::function<void(const std::string&)>> options = {
      {"--kernel", [&](const std::string& value) { run.kernel = value; }},
      {"--grid", [&](const std::string& value) { run.grid = parseDim(value, "--grid"); }},
      {"--block", [&](const std::string& value) { run.block = parseDim(value, "--block"); }},
      {"--shared",
       [&](const std::string& value) {
         run.shared = static_cast<uint32_t>(parseUnsigned(value, 0xffffffff, "--shared"));
       }},
      {"--arg", [&](const std::string& value) { run.arguments.push_back(parseArgument(value)); }},
      {"--seed", [&](const std::string& value) { run.seed = parseUnsigned(value, ~uint64_t{0}, "--seed"); }},
      {"--check", [&](const std::string& value) { run.check = value; }},
      {"--device", [&](const std::string& value) { run.device = value; }},
      {"--profile", [&](const std::string& value) { run.profile = value; }},
  };
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--cooperative") {
      run.cooperative = true;
    } else if (word == "--strict") {
      run.strict = true;
    } else if (const auto option = options.find(word); option != options.end()) {
      if (++i == words.size()) throw UsageError(word + " needs a value");
      option->second(words[i]);
    } else if (word.starts_with("--")) {
      throw UsageError("unknown option " + word);
    } else if (run.file.empty()) {
      run.file = word;
    } else {
      throw UsageError("unexpected '" + word + "'");
    }
  }
  if (run.file.empty()) throw UsageError("no PTX file or fatbin given");
  if (inBatch && (run.device || run.profile))
    throw UsageError("--device and --profile hold for the whole process: use GPUSIM_DEVICE and GPUSIM_PROFILE");
  return run;
}

std::vector<std::string> splitLine(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool open = false, quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
      open = true;
    } else if (!quoted && (c == ' ' || c == '\t' || c == '\r')) {
      if (open) words.push_back(std::exchange(word, {}));
      open = false;
    } else {
      word += c;
      open = true;
    }
  }
  if (quoted) throw UsageError("a double quote is not closed");
  if (open) words.push_back(word);
  return words;
}

}  // namespace gpusim::tool
