// SPDX-License-Identifier: Apache-2.0
#include "jit_options.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

namespace gpusim {

void JitOptions::Buffer::write(const std::string& text) {
  if (!buffer || size == 0) return;
  const size_t length = std::min(text.size(), size - 1);
  std::memcpy(buffer, text.data(), length);
  buffer[length] = '\0';
  if (sizeSlot) *sizeSlot = reinterpret_cast<void*>(length == 0 ? 0 : length + 1);
}

CUresult JitOptions::read(unsigned count, const CUjit_option* options, void** values) {
  if (count > 0 && (!options || !values)) return CUDA_ERROR_INVALID_VALUE;
  const auto sizeOf = [](const void* value) { return static_cast<unsigned>(reinterpret_cast<uintptr_t>(value)); };
  for (unsigned i = 0; i < count; ++i) {
    switch (options[i]) {
      case CU_JIT_INFO_LOG_BUFFER:
        info_.buffer = static_cast<char*>(values[i]);
        break;
      case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
        info_.size = sizeOf(values[i]);
        info_.sizeSlot = &values[i];
        break;
      case CU_JIT_ERROR_LOG_BUFFER:
        error_.buffer = static_cast<char*>(values[i]);
        break;
      case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
        error_.size = sizeOf(values[i]);
        error_.sizeSlot = &values[i];
        break;
      case CU_JIT_WALL_TIME:
        wallTime_ = &values[i];
        break;
      default:
        break;
    }
  }
  return CUDA_SUCCESS;
}

void JitOptions::writeLogs(const JitLog& log) {
  info_.write(log.info);
  error_.write(log.error);
  const float none = 0;
  if (wallTime_) std::memcpy(wallTime_, &none, sizeof none);
}

bool readImageFile(const char* path, std::string& contents) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  std::stringstream text;
  text << file.rdbuf();
  contents = text.str();
  return true;
}

}  // namespace gpusim
