// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace gpusim {

/// Everything the simulator knows of a device, as data. Filled from a text file of `key = value` lines
/// (test/gpusim/devices); the field names are the keys.
struct DeviceModel {
  std::string name = "gpusim small";
  int computeMajor = 8;
  int computeMinor = 0;
  int smCount = 4;
  int clockKhz = 1410000;
  int memoryClockKhz = 1215000;
  int memoryBusBits = 5120;
  uint64_t memoryBytes = 2ull << 30;
  int l2Bytes = 4 << 20;
  int maxPersistingL2Bytes = 0;
  int warpsPerSm = 64;
  int blocksPerSm = 32;
  int registersPerSm = 65536;
  int registersPerBlock = 65536;
  int registerAllocationUnit = 256;  ///< registers are given to a warp in multiples of this many
  int sharedPerSm = 164 << 10;
  int sharedPerBlock = 48 << 10;         ///< without opting in
  int sharedPerBlockOptin = 163 << 10;   ///< with CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
  int sharedReservedPerBlock = 1 << 10;  ///< taken by the system from sharedPerSm for each resident block
  int sharedAllocationUnit = 128;
  int maxThreadsPerBlock = 1024;
  int maxThreadsPerSm = 2048;
  int constantBytes = 64 << 10;
  double memoryBandwidth = 1555e9;           ///< bytes/s
  std::map<std::string, double> peaks = {};  ///< operations/s by kind, e.g. "f16.tensor"; data for reports only

  int smVersion() const { return computeMajor * 10 + computeMinor; }
};

}  // namespace gpusim
