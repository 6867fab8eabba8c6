// SPDX-License-Identifier: Apache-2.0
// Where the simulator speaks to its user: standard error, or the file named by GPUSIM_LOG (`-`: standard error).
#pragma once
#include <string>

namespace gpusim {

/// Writes `text`; lines that are not indented begin with "gpusim: ". Safe from any thread.
void logText(const std::string& text);

/// The same for why a call was refused, which a program may well have expected: only when GPUSIM_LOG is set.
void logRefusal(const std::string& text);

/// As logText, but once per process for equal texts.
void logOnce(const std::string& text);

}  // namespace gpusim
