// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdexcept>
#include <string>

#include "pagewarp/status.h"

namespace pw {

/// The one exception type of the native layers. Bindings turn it into a PagewarpError with `code`.
class Error : public std::runtime_error {
 public:
  Error(pw_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  pw_status status() const noexcept { return status_; }

 private:
  pw_status status_;
};

/// The stable JavaScript `code` of a status.
const char* errorCode(pw_status status) noexcept;

}  // namespace pw
