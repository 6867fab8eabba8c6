// SPDX-License-Identifier: Apache-2.0
#include "gpu/properties.h"

#include <algorithm>

#include "gpu/driver.h"
#include "gpu/embedded_modules.h"

namespace pw::gpu {
namespace {

/// Code of a toolkit runs on every driver of the same major version, and on later ones. From this toolkit on it is
/// compressed (cmake/DeviceCode.cmake) in a way that drivers from the other version on can read.
constexpr int kCompressingToolkit = 12080, kUnpackingDriver = 12040;

std::string versionName(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// Why kernels of this build cannot run on the device; empty when they can.
std::string reasonAgainst(const DeviceProperties& properties, int driverVersion) {
  if (properties.capability < kLowestCapability)
    return "compute capability " + std::to_string(properties.capability / 10) + "." +
           std::to_string(properties.capability % 10) + " is too old: 8.0 or later is needed";
  if (!kEmbeddedModules[0].name) return "this build has no device code: it was built without nvcc";
  const int needed = std::max(kEmbeddedToolkitVersion / 1000 * 1000,
                              kEmbeddedToolkitVersion >= kCompressingToolkit ? kUnpackingDriver : 0);
  if (driverVersion < needed)
    return "the driver supports CUDA " + versionName(driverVersion) + ", but the kernels need " + versionName(needed);
  return "";
}

}  // namespace

std::vector<DeviceProperties> listDevices() {
  std::vector<DeviceProperties> devices;
  const Driver& d = driver();
  int count = 0;
  if (!d.usable || d.deviceGetCount(&count) != kCudaSuccess) return devices;
  for (int i = 0; i < count; ++i) {
    DeviceProperties properties;
    properties.index = i;
    CUdevice device = 0;
    if (const CUresult result = d.deviceGet(&device, i); result != kCudaSuccess) {
      properties.name = "CUDA";
      properties.reason = d.describe(result);
      devices.push_back(properties);
      continue;
    }
    char name[256] = {};
    int major = 0, minor = 0, pools = 0, writes = 0;
    d.deviceGetName(name, static_cast<int>(sizeof name) - 1, device);
    d.deviceTotalMem(&properties.memoryBytes, device);
    const auto read = [&](int* to, CUdevice_attribute attribute) {
      if (d.deviceGetAttribute(to, attribute, device) != kCudaSuccess) *to = 0;
    };
    read(&major, kCapabilityMajor);
    read(&minor, kCapabilityMinor);
    read(&pools, kMemoryPoolsSupported);
    read(&writes, kStreamWritesSupported);
    read(&properties.multiprocessors, kMultiprocessorCount);
    read(&properties.l2Bytes, kL2CacheBytes);
    read(&properties.sharedPerBlockOptin, kSharedPerBlockOptin);
    read(&properties.sharedPerMultiprocessor, kSharedPerMultiprocessor);
    read(&properties.reservedSharedPerBlock, kReservedSharedPerBlock);
    read(&properties.registersPerMultiprocessor, kRegistersPerMultiprocessor);
    read(&properties.threadsPerMultiprocessor, kThreadsPerMultiprocessor);
    properties.name = name;
    properties.capability = 10 * major + minor;
    properties.memoryPools = pools != 0 && d.poolCreate && d.poolDestroy && d.poolTrim && d.poolSetAttribute &&
                             d.poolGetAttribute && d.poolAllocate && d.poolFree;
    properties.streamWrites = writes != 0 && d.streamWriteValue;
    properties.reason = reasonAgainst(properties, d.version);
    devices.push_back(properties);
  }
  return devices;
}

}  // namespace pw::gpu
