// SPDX-License-Identifier: Apache-2.0
// Device models as text: reading them, the ones built in, and what GPUSIM_DEVICE selects.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "device_model.h"

namespace gpusim {

/// What the driver API reports of a device: the engine's model and what only queries see.
struct DeviceDescription {
  std::string id;  ///< the file's name without its ending, e.g. "a100"
  DeviceModel model;
  int copyEngines = 2;
  int singleToDoubleRatio = 2;
  bool ecc = false;
  uint32_t pciDeviceId = 0;
};

/// A device file or GPUSIM_DEVICE that cannot be used; the message names the file, the line and what is allowed.
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Reads `key = value` lines; `#` starts a comment. Every key must be known, given once and within its range, and all
/// keys but the peaks must be given. `source` names the text in messages. Throws DeviceError.
DeviceDescription parseDevice(std::string_view text, const std::string& source);

/// Names of the built-in models, sorted.
std::vector<std::string> builtInDevices();

/// One model: a built-in name, or the path of a file (anything with a slash or ending in .txt). Throws DeviceError.
DeviceDescription loadDevice(const std::string& nameOrPath);

/// The comma-separated list of `loadDevice` arguments. Throws DeviceError when it is empty.
std::vector<DeviceDescription> loadDevices(const std::string& list);

}  // namespace gpusim
