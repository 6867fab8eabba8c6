// SPDX-License-Identifier: Apache-2.0
#include "gpu/device.h"

#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "gpu/executor.h"

namespace pw::gpu {
namespace {

bool wantsSynchronous() {
  const char* value = std::getenv("PAGEWARP_CUDA_SYNC");
  return value && std::strcmp(value, "1") == 0;
}

}  // namespace

GpuDevice::GpuDevice(Resources resources)
    : Device(resources.primary->properties().name, std::make_unique<GpuExecutor>(resources), "pagewarp-gpu"),
      resources_(std::move(resources)) {}

Ref<GpuDevice> GpuDevice::open(int index, int64_t memoryLimit) {
  const auto refuse = [index](const std::string& reason) {
    throw Error(PW_DEVICE_UNAVAILABLE, "CUDA device " + std::to_string(index) + " cannot be used: " + reason);
  };
  if (!driver().usable) refuse(driver().reason);
  const std::vector<DeviceProperties> devices = listDevices();
  if (index < 0 || index >= static_cast<int>(devices.size()))
    refuse("there are only " + std::to_string(devices.size()) + ", numbered from 0");
  const DeviceProperties& properties = devices[static_cast<size_t>(index)];
  if (!properties.reason.empty()) refuse(properties.reason);

  Resources resources;
  resources.primary = makeRef<PrimaryContext>(properties);
  resources.memory = makeRef<DeviceMemory>(resources.primary, memoryLimit);
  resources.staging = makeRef<StagingPool>(resources.primary);
  resources.counters = std::make_shared<LaunchCounters>();
  resources.synchronous = wantsSynchronous();
  return makeRef<GpuDevice>(std::move(resources));
}

}  // namespace pw::gpu
