// SPDX-License-Identifier: Apache-2.0
// The texts of test/gpusim/devices, put into the library by cmake/embed_devices.cmake.
#pragma once
#include <span>
#include <string_view>

namespace gpusim {

struct BuiltInDevice {
  std::string_view name;
  std::string_view text;
};

std::span<const BuiltInDevice> builtInDeviceTexts();

}  // namespace gpusim
