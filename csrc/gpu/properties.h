// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace pw::gpu {

/// Compute capability that kernels need: asynchronous copies, bf16 and the tensor cores' mma shapes.
constexpr int kLowestCapability = 80;

/// A GPU as the driver describes it.
struct DeviceProperties {
  int index = 0;
  std::string name;
  /// Why it cannot be used; empty when it can.
  std::string reason;
  int capability = 0;  ///< 90 for compute capability 9.0
  int multiprocessors = 0;
  size_t memoryBytes = 0;
  int l2Bytes = 0;
  int sharedPerBlockOptin = 0;  ///< dynamic and static shared memory that one block may have
  int sharedPerMultiprocessor = 0;
  int reservedSharedPerBlock = 0;  ///< shared memory that each resident block costs in addition
  int registersPerMultiprocessor = 0;
  int threadsPerMultiprocessor = 0;
  bool memoryPools = false;
  bool streamWrites = false;  ///< streams can write to host memory (cuStreamWriteValue32)
};

/// Every GPU that the driver offers, usable or not; empty when there is no usable driver.
std::vector<DeviceProperties> listDevices();

}  // namespace pw::gpu
