// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "driver/cuda_functions.h"
#include "run_options.h"

namespace gpusim::tool {

/// What became of a launch.
struct RunResult {
  CUresult status = CUDA_SUCCESS;
  std::string message;             ///< the reports or the loader's log
  bool logged = false;             ///< the message is in the log already
  std::vector<std::string> shown;  ///< hexadecimal contents of the `show:` buffers
};

/// Runs launches one after another on device 0, through the driver API.
class Runner {
 public:
  /// Throws std::runtime_error when there is no device.
  Runner();
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  /// Throws UsageError for files that cannot be read, an unknown kernel and a wrong number of arguments.
  RunResult run(const RunOptions& options);

  /// The module of a file, loaded once as long as the file does not change. `log`: errors, or what is not implemented.
  CUresult load(const std::string& path, CUmodule& module, std::string& log);

 private:
  struct CachedModule {
    CUmodule module = nullptr;
    std::filesystem::file_time_type time;
    uintmax_t size = 0;
  };
  class Buffers;

  CUfunction findKernel(CUmodule module, const RunOptions& options) const;
  CUresult launch(const RunOptions& options, CUmodule module, Buffers& buffers, RunResult& result);
  RunResult fail(CUresult status, const std::string& message);

  CUcontext context_ = nullptr;
  std::vector<uint64_t> defaultSeeds_;
  CheckOptions defaultChecks_;
  std::map<std::string, CachedModule> modules_;
};

/// The name of a result code, for example CUDA_ERROR_ILLEGAL_ADDRESS.
std::string nameOf(CUresult status);

}  // namespace gpusim::tool
