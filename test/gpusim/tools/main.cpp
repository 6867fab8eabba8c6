// SPDX-License-Identifier: Apache-2.0
// The gpusim tool: runs kernels from files, lists device models, looks into PTX and fatbins.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "device/device_description.h"
#include "driver/runtime.h"
#include "inspect.h"
#include "runner.h"

namespace {

using namespace gpusim::tool;

constexpr const char* kUsage =
    "usage: gpusim run FILE --kernel NAME --grid X[,Y,Z] --block X[,Y,Z] [--shared BYTES] [--arg ARG]...\n"
    "                  [--cooperative] [--device NAME|FILE] [--seed N] [--check LIST] [--strict]\n"
    "                  [--profile FILE]\n"
    "       gpusim batch FILE|-\n"
    "       gpusim devices\n"
    "       gpusim inspect FILE\n"
    "       gpusim ptx FILE\n"
    "ARG: i8|u8|i16|u16|i32|u32|i64|u64|f32|f64:NUMBER  bytes:HEX  null  in:FILE  out:FILE:BYTES  inout:IN:OUT\n"
    "     zero:BYTES  uninit:BYTES  hex:HEX  show:BYTES  showhex:HEX\n";

constexpr int kOk = 0, kFailed = 1, kBadUsage = 2;

// Lines joined with "; ", without their indentation and the log's prefix.
std::string oneLine(const std::string& text) {
  std::string joined;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("gpusim: ")) line.erase(0, 8);
    line.erase(0, line.find_first_not_of(' '));
    if (line.empty()) continue;
    if (!joined.empty()) joined += "; ";
    joined += line;
  }
  return joined;
}

int runOne(const std::vector<std::string>& words) {
  const RunOptions options = parseRun(words, false);
  if (options.device) setenv("GPUSIM_DEVICE", options.device->c_str(), 1);
  if (options.profile) setenv("GPUSIM_PROFILE", options.profile->c_str(), 1);
  if (options.check) setenv("GPUSIM_CHECK", options.check->c_str(), 1);
  Runner runner;
  const RunResult result = runner.run(options);
  for (const std::string& bytes : result.shown) std::printf("%s\n", bytes.c_str());
  if (result.status == CUDA_SUCCESS) return kOk;
  std::fprintf(stderr, "gpusim: %s%s%s\n", nameOf(result.status).c_str(), result.logged ? "" : "\n",
               result.logged ? "" : result.message.c_str());
  return kFailed;
}

int runBatch(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path);
    if (!file) throw UsageError("cannot read " + path);
  }
  std::istream& lines = path == "-" ? std::cin : file;
  Runner runner;
  // Standard output is for the answers: what kernels print goes beside the reports.
  gpusim::devices().front()->state.print = [](const std::string& text) { std::fputs(text.c_str(), stderr); };
  int status = kOk;
  for (std::string line; std::getline(lines, line);) {
    std::string answer;
    try {
      const std::vector<std::string> words = splitLine(line);
      if (words.empty() || words[0][0] == '#') continue;
      const RunResult result = runner.run(parseRun(words, true));
      answer = result.status == CUDA_SUCCESS ? "ok" : "error " + nameOf(result.status) + " " + oneLine(result.message);
      for (const std::string& bytes : result.shown) answer += " " + bytes;
    } catch (const UsageError& error) {
      answer = std::string("error USAGE ") + oneLine(error.what());
      status = kBadUsage;
    }
    std::printf("%s\n", answer.c_str());
    std::fflush(stdout);
  }
  return status;
}

int listDevices() {
  for (const std::string& name : gpusim::builtInDevices()) {
    const gpusim::DeviceModel model = gpusim::loadDevice(name).model;
    std::printf("%-10s sm_%d  %4d SMs  %6.1f GiB  %5.1f MiB L2  %3d KiB shared memory per block  %s\n", name.c_str(),
                model.smVersion(), model.smCount, static_cast<double>(model.memoryBytes) / (1 << 30),
                static_cast<double>(model.l2Bytes) / (1 << 20), model.sharedPerBlockOptin / 1024, model.name.c_str());
  }
  return kOk;
}

int dispatch(const std::vector<std::string>& words) {
  if (words.empty()) throw UsageError("no command");
  const std::vector<std::string> rest(words.begin() + 1, words.end());
  if (words[0] == "run") return runOne(rest);
  if (words[0] == "batch" && rest.size() == 1) return runBatch(rest[0]);
  if (words[0] == "devices" && rest.empty()) return listDevices();
  if (words[0] == "inspect" && rest.size() == 1) return inspect(rest[0]);
  if (words[0] == "ptx" && rest.size() == 1) return printPtx(rest[0]);
  if (words[0] == "--help" || words[0] == "help") {
    std::printf("%s", kUsage);
    return kOk;
  }
  throw UsageError("cannot make sense of '" + words[0] + "'");
}

}  // namespace

int main(int argc, char** argv) {
  setenv("GPUSIM_LOG", "-", 0);  // whoever runs a kernel by hand wants to know why it was refused
  try {
    return dispatch({argv + 1, argv + argc});
  } catch (const UsageError& error) {
    std::fprintf(stderr, "gpusim: %s\n%s", error.what(), kUsage);
    return kBadUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpusim: %s\n", error.what());
    return kFailed;
  }
}
