// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace gpusim::tool {

/// Prints what a PTX file or fatbin holds: the fatbin's entries, then the kernels of the PTX that the device of
/// GPUSIM_DEVICE would run. Returns the exit code.
int inspect(const std::string& path);

/// Prints the PTX that the device of GPUSIM_DEVICE would run of a PTX file, a fatbin, or each fatbin that a program or
/// library embeds. Returns the exit code.
int printPtx(const std::string& path);

}  // namespace gpusim::tool
