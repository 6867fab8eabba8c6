// SPDX-License-Identifier: Apache-2.0
/// @file The part of the CUDA driver API that pagewarp calls, loaded when it is first asked for: no toolkit is needed
/// to build, and no driver to load the addon.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#if defined(_WIN32)
#define PW_CUDAAPI __stdcall
#else
#define PW_CUDAAPI
#endif

namespace pw::gpu {

using CUresult = int;
using CUdevice = int;
using CUdevice_attribute = int;

constexpr CUresult kCudaSuccess = 0;
constexpr CUdevice_attribute kMultiprocessorCount = 16, kCapabilityMajor = 75, kCapabilityMinor = 76;

/// X(member, exported symbol, parameters)
#define PW_CUDA_DRIVER_FUNCTIONS(X)                               \
  X(init, "cuInit", (unsigned int))                               \
  X(driverGetVersion, "cuDriverGetVersion", (int*))               \
  X(getErrorName, "cuGetErrorName", (CUresult, const char**))     \
  X(getErrorString, "cuGetErrorString", (CUresult, const char**)) \
  X(deviceGetCount, "cuDeviceGetCount", (int*))                   \
  X(deviceGet, "cuDeviceGet", (CUdevice*, int))                   \
  X(deviceGetName, "cuDeviceGetName", (char*, int, CUdevice))     \
  X(deviceTotalMem, "cuDeviceTotalMem_v2", (size_t*, CUdevice))   \
  X(deviceGetAttribute, "cuDeviceGetAttribute", (int*, CUdevice_attribute, CUdevice))

/// The loaded driver. `reason` says why there is none when `usable` is false.
struct Driver {
#define PW_MEMBER(member, symbol, parameters) CUresult(PW_CUDAAPI* member) parameters = nullptr;
  PW_CUDA_DRIVER_FUNCTIONS(PW_MEMBER)
#undef PW_MEMBER
  bool usable = false;
  std::string reason;
  /// 13000 for a driver of CUDA 13.0.
  int version = 0;

  /// "CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"
  std::string describe(CUresult result) const;
};

/// The process's driver. Loads and initialises it on the first call; thread-safe, never throws.
const Driver& driver();

/// A GPU as the driver describes it.
struct DeviceDescription {
  std::string name;
  int capability = 0;  ///< 90 for compute capability 9.0
  int multiprocessors = 0;
  size_t memoryBytes = 0;
};

/// Every GPU that the driver offers; empty when there is none or no driver.
std::vector<DeviceDescription> listDevices();

}  // namespace pw::gpu
