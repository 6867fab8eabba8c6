// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "cuda_types.h"
#include "engine.h"

namespace gpusim {

/// The options of cuModuleLoadDataEx and its relatives. Only the log buffers mean anything to an interpreter; the rest
/// is accepted.
class JitOptions {
 public:
  CUresult read(unsigned count, const CUjit_option* options, void** values);
  bool wantsErrorLog() const { return error_.buffer != nullptr && error_.size > 0; }
  /// Fills the program's buffers and stores in the size options how much was written, as a driver does.
  void writeLogs(const JitLog& log);

 private:
  struct Buffer {
    char* buffer = nullptr;
    size_t size = 0;
    void** sizeSlot = nullptr;
    void write(const std::string& text);
  };
  Buffer info_, error_;
  void** wallTime_ = nullptr;
};

/// Reads a whole file; false when it cannot be opened.
bool readImageFile(const char* path, std::string& contents);

}  // namespace gpusim
