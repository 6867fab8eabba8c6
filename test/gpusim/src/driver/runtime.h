// SPDX-License-Identifier: Apache-2.0
// The process-wide state: the devices, whether cuInit was called, and each thread's stack of contexts.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_types.h"
#include "device/device_description.h"
#include "engine.h"

namespace gpusim {

class Context;
class MemoryPool;

/// The newest CUDA and PTX version that this driver says it is.
inline constexpr int kDriverVersion = 13000;
inline constexpr int kNewestPtxVersion = 90;

struct Device {
  Device(int ordinal, DeviceDescription description);

  const int ordinal;
  const DeviceDescription description;
  DeviceState state;

  std::mutex mutex;  ///< guards what follows
  std::shared_ptr<Context> primary;
  int primaryUsers = 0;
  unsigned primaryFlags = 0;
  std::shared_ptr<MemoryPool> defaultPool;
  std::shared_ptr<MemoryPool> currentPool;

  int target() const { return description.model.smVersion(); }
};

/// Reads GPUSIM_DEVICE and creates the devices, once. CUDA_ERROR_NO_DEVICE for `GPUSIM_DEVICE=none` and for a device
/// file that cannot be used (the reason is logged).
CUresult initialiseRuntime();
bool runtimeInitialised();

const std::vector<std::unique_ptr<Device>>& devices();

/// Null when there is no such ordinal.
Device* deviceByOrdinal(int ordinal);

/// The device whose memory holds an address, and the allocation. Pinned and managed memory belongs to the device it was
/// allocated on. Null for pageable host memory and for device addresses that are not allocated.
Device* deviceOfAddress(uint64_t address, Allocation& allocation);

/// The calling thread's contexts, the current one last; entries may be null.
std::vector<std::shared_ptr<Context>>& contextStack();
std::shared_ptr<Context> currentContext();
void setCurrentContext(std::shared_ptr<Context> context);

/// The thread's mode as cuThreadExchangeStreamCaptureMode left it.
CUstreamCaptureMode& threadCaptureMode();

}  // namespace gpusim
