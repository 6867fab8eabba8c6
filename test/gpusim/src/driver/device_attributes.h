// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "cuda_types.h"
#include "device/device_description.h"

namespace gpusim {

/// Every attribute that follows from the model; false for a number that CUDA 13 does not define. Attributes of features
/// that the simulator does not have (textures' larger cousins, interop, virtual memory, clusters) are 0.
bool deviceAttribute(const DeviceDescription& device, CUdevice_attribute which, int& value);

}  // namespace gpusim
