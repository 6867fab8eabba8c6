// SPDX-License-Identifier: Apache-2.0
#include "runtime_api.h"

namespace cudart {

const char* errorName(cudaError_t error) {
  switch (static_cast<int>(error)) {
#define RUNTIME_ERROR(name, text) \
  case name:                      \
    return #name;
#include "runtime_errors.def"
#undef RUNTIME_ERROR
  }
  return "unrecognized error code";
}

const char* errorText(cudaError_t error) {
  const char* ours = nullptr;
  switch (static_cast<int>(error)) {
#define RUNTIME_ERROR(name, text) \
  case name:                      \
    ours = text;                  \
    break;
#include "runtime_errors.def"
#undef RUNTIME_ERROR
  }
  if (ours) return ours;
  const char* text = nullptr;
  return cuGetErrorString(static_cast<CUresult>(error), &text) == CUDA_SUCCESS ? text : "unrecognized error code";
}

}  // namespace cudart
