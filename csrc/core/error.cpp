// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"

namespace pw {

const char* errorCode(pw_status status) noexcept {
  switch (status) {
    case PW_OK:
      return "OK";
    case PW_INVALID_ARGUMENT:
      return "ERR_INVALID_ARGUMENT";
    case PW_SHAPE_MISMATCH:
      return "ERR_SHAPE_MISMATCH";
    case PW_UNSUPPORTED:
      return "ERR_UNSUPPORTED";
    case PW_OUT_OF_MEMORY:
      return "ERR_OUT_OF_MEMORY";
    case PW_DISPOSED:
      return "ERR_DISPOSED";
    case PW_STALE_PLAN:
      return "ERR_STALE_PLAN";
    case PW_CACHE_EXHAUSTED:
      return "ERR_CACHE_EXHAUSTED";
    case PW_DEVICE_UNAVAILABLE:
      return "ERR_DEVICE_UNAVAILABLE";
    case PW_DEVICE_LOST:
      return "ERR_DEVICE_LOST";
    case PW_INVALID_TOKEN:
      return "ERR_INVALID_TOKEN";
    case PW_INVALID_LOGITS:
      return "ERR_INVALID_LOGITS";
    case PW_INVALID_MODEL:
      return "ERR_INVALID_MODEL";
    case PW_IO:
      return "ERR_IO";
    case PW_CANCELLED:
      return "ERR_CANCELLED";
    case PW_INTERNAL:
      break;
  }
  return "ERR_INTERNAL";
}

}  // namespace pw
