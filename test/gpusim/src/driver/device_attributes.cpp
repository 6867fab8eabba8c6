// SPDX-License-Identifier: Apache-2.0
#include "device_attributes.h"

#include <algorithm>
#include <limits>
#include <map>

namespace gpusim {
namespace {

bool defined(CUdevice_attribute which) {
  switch (which) {
#define GPUSIM_ATTRIBUTE(name, value) case CU_DEVICE_ATTRIBUTE_##name:
#include "cuda_attributes.def"
#undef GPUSIM_ATTRIBUTE
    return true;
  }
  return false;
}

#define ATTRIBUTE(name) CU_DEVICE_ATTRIBUTE_##name

// The same on every device of compute capability 8.x.
const std::map<int, int>& fixedAttributes() {
  static const std::map<int, int> table = {
      {ATTRIBUTE(MAX_BLOCK_DIM_X), 1024},
      {ATTRIBUTE(MAX_BLOCK_DIM_Y), 1024},
      {ATTRIBUTE(MAX_BLOCK_DIM_Z), 64},
      {ATTRIBUTE(MAX_GRID_DIM_X), std::numeric_limits<int>::max()},
      {ATTRIBUTE(MAX_GRID_DIM_Y), 65535},
      {ATTRIBUTE(MAX_GRID_DIM_Z), 65535},
      {ATTRIBUTE(WARP_SIZE), 32},
      {ATTRIBUTE(MAX_PITCH), std::numeric_limits<int>::max()},
      {ATTRIBUTE(TEXTURE_ALIGNMENT), 512},
      {ATTRIBUTE(SURFACE_ALIGNMENT), 512},
      {ATTRIBUTE(TEXTURE_PITCH_ALIGNMENT), 32},
      {ATTRIBUTE(GPU_OVERLAP), 1},
      {ATTRIBUTE(CAN_MAP_HOST_MEMORY), 1},
      {ATTRIBUTE(CONCURRENT_KERNELS), 1},
      {ATTRIBUTE(UNIFIED_ADDRESSING), 1},
      {ATTRIBUTE(STREAM_PRIORITIES_SUPPORTED), 1},
      {ATTRIBUTE(GLOBAL_L1_CACHE_SUPPORTED), 1},
      {ATTRIBUTE(LOCAL_L1_CACHE_SUPPORTED), 1},
      {ATTRIBUTE(MANAGED_MEMORY), 1},
      {ATTRIBUTE(CONCURRENT_MANAGED_ACCESS), 1},
      {ATTRIBUTE(COMPUTE_PREEMPTION_SUPPORTED), 1},
      {ATTRIBUTE(CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM), 1},
      {ATTRIBUTE(CAN_USE_STREAM_MEM_OPS_V1), 1},
      {ATTRIBUTE(CAN_USE_64_BIT_STREAM_MEM_OPS_V1), 1},
      {ATTRIBUTE(CAN_USE_STREAM_WAIT_VALUE_NOR_V1), 1},
      {ATTRIBUTE(CAN_USE_64_BIT_STREAM_MEM_OPS), 1},
      {ATTRIBUTE(CAN_USE_STREAM_WAIT_VALUE_NOR), 1},
      {ATTRIBUTE(COOPERATIVE_LAUNCH), 1},
      {ATTRIBUTE(HOST_REGISTER_SUPPORTED), 1},
      {ATTRIBUTE(READ_ONLY_HOST_REGISTER_SUPPORTED), 1},
      {ATTRIBUTE(MEMORY_POOLS_SUPPORTED), 1},
      {ATTRIBUTE(MEM_SYNC_DOMAIN_COUNT), 1},
      {ATTRIBUTE(NUMA_ID), -1},
      {ATTRIBUTE(HOST_NUMA_ID), 0},
      {ATTRIBUTE(MULTI_GPU_BOARD_GROUP_ID), 0},
      {ATTRIBUTE(MAXIMUM_TEXTURE1D_WIDTH), 131072},
      {ATTRIBUTE(MAXIMUM_TEXTURE2D_WIDTH), 131072},
      {ATTRIBUTE(MAXIMUM_TEXTURE2D_HEIGHT), 65536},
      {ATTRIBUTE(MAXIMUM_TEXTURE3D_WIDTH), 16384},
      {ATTRIBUTE(MAXIMUM_TEXTURE3D_HEIGHT), 16384},
      {ATTRIBUTE(MAXIMUM_TEXTURE3D_DEPTH), 16384},
      {ATTRIBUTE(MAXIMUM_TEXTURE1D_LINEAR_WIDTH), 1 << 28},
      {ATTRIBUTE(MAXIMUM_TEXTURE2D_LINEAR_WIDTH), 131072},
      {ATTRIBUTE(MAXIMUM_TEXTURE2D_LINEAR_HEIGHT), 65000},
      {ATTRIBUTE(MAXIMUM_TEXTURE2D_LINEAR_PITCH), 2097120},
  };
  return table;
}

std::map<int, int> modelAttributes(const DeviceDescription& device) {
  const DeviceModel& model = device.model;
  return {
      {ATTRIBUTE(MAX_THREADS_PER_BLOCK), model.maxThreadsPerBlock},
      {ATTRIBUTE(MAX_SHARED_MEMORY_PER_BLOCK), model.sharedPerBlock},
      {ATTRIBUTE(TOTAL_CONSTANT_MEMORY), model.constantBytes},
      {ATTRIBUTE(MAX_REGISTERS_PER_BLOCK), model.registersPerBlock},
      {ATTRIBUTE(CLOCK_RATE), model.clockKhz},
      {ATTRIBUTE(MULTIPROCESSOR_COUNT), model.smCount},
      {ATTRIBUTE(ECC_ENABLED), device.ecc},
      {ATTRIBUTE(MEMORY_CLOCK_RATE), model.memoryClockKhz},
      {ATTRIBUTE(GLOBAL_MEMORY_BUS_WIDTH), model.memoryBusBits},
      {ATTRIBUTE(L2_CACHE_SIZE), model.l2Bytes},
      {ATTRIBUTE(MAX_THREADS_PER_MULTIPROCESSOR), model.maxThreadsPerSm},
      {ATTRIBUTE(ASYNC_ENGINE_COUNT), device.copyEngines},
      {ATTRIBUTE(COMPUTE_CAPABILITY_MAJOR), model.computeMajor},
      {ATTRIBUTE(COMPUTE_CAPABILITY_MINOR), model.computeMinor},
      {ATTRIBUTE(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR), model.sharedPerSm},
      {ATTRIBUTE(MAX_REGISTERS_PER_MULTIPROCESSOR), model.registersPerSm},
      {ATTRIBUTE(SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO), device.singleToDoubleRatio},
      {ATTRIBUTE(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN), model.sharedPerBlockOptin},
      {ATTRIBUTE(MAX_BLOCKS_PER_MULTIPROCESSOR), model.blocksPerSm},
      {ATTRIBUTE(MAX_PERSISTING_L2_CACHE_SIZE), model.maxPersistingL2Bytes},
      {ATTRIBUTE(MAX_ACCESS_POLICY_WINDOW_SIZE), std::min(128 << 20, model.l2Bytes * 2)},
      {ATTRIBUTE(RESERVED_SHARED_MEMORY_PER_BLOCK), model.sharedReservedPerBlock},
      {ATTRIBUTE(GPU_PCI_DEVICE_ID), static_cast<int>(device.pciDeviceId)},
  };
}

#undef ATTRIBUTE

}  // namespace

bool deviceAttribute(const DeviceDescription& device, CUdevice_attribute which, int& value) {
  if (!defined(which)) return false;
  const std::map<int, int> variable = modelAttributes(device);
  if (const auto found = variable.find(which); found != variable.end()) {
    value = found->second;
  } else {
    const auto same = fixedAttributes().find(which);
    value = same == fixedAttributes().end() ? 0 : same->second;
  }
  return true;
}

}  // namespace gpusim
