// SPDX-License-Identifier: Apache-2.0
/// @file The part of the CUDA driver API that pagewarp calls, loaded when it is first asked for: no toolkit is needed
/// to build, and no driver to load the addon.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#if defined(_WIN32)
#define PW_CUDAAPI __stdcall
#else
#define PW_CUDAAPI
#endif

namespace pw::gpu {

using CUresult = int;
using CUdevice = int;
using CUdevice_attribute = int;
using CUfunction_attribute = int;
using CUmemPool_attribute = int;
using CUstreamCaptureMode = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;
using CUgraph = struct CUgraph_st*;
using CUgraphExec = struct CUgraphExec_st*;
using CUgraphNode = struct CUgraphNode_st*;
using CUmemoryPool = struct CUmemPoolHandle_st*;

/// CUmemPoolProps of the driver: pinned (the only kind of) memory of one device, without handles to export.
struct CUmemPoolProps {
  int allocType = 1;  // CU_MEM_ALLOCATION_TYPE_PINNED
  int handleTypes = 0;
  int locationType = 1;  // CU_MEM_LOCATION_TYPE_DEVICE
  int locationId = 0;
  void* win32SecurityAttributes = nullptr;
  size_t maxSize = 0;
  unsigned char reserved[56] = {};
};

constexpr CUresult kCudaSuccess = 0, kCudaOutOfMemory = 2, kCudaNotReady = 600;

constexpr CUdevice_attribute kMultiprocessorCount = 16, kL2CacheBytes = 38, kThreadsPerMultiprocessor = 39,
                             kCapabilityMajor = 75, kCapabilityMinor = 76, kSharedPerMultiprocessor = 81,
                             kRegistersPerMultiprocessor = 82, kSharedPerBlockOptin = 97, kReservedSharedPerBlock = 111,
                             kMemoryPoolsSupported = 115, kStreamWritesSupported = 122;
constexpr CUfunction_attribute kFunctionMaxThreads = 0, kFunctionStaticShared = 1, kFunctionRegisters = 4,
                               kFunctionMaxDynamicShared = 8;
constexpr CUmemPool_attribute kPoolReleaseThreshold = 4, kPoolReserved = 5, kPoolReservedHigh = 6, kPoolUsed = 7,
                              kPoolUsedHigh = 8;
constexpr unsigned kStreamNonBlocking = 1, kEventBlockingSync = 1, kEventDisableTiming = 2, kHostAllocPortable = 1,
                   kHostAllocDeviceMap = 2;
constexpr CUstreamCaptureMode kCaptureRelaxed = 2;

/// X(member, exported symbol, parameters): what every supported driver has (CUDA 11.4 and later).
#define PW_CUDA_DRIVER_FUNCTIONS(X)                                                                                \
  X(init, "cuInit", (unsigned int))                                                                                \
  X(driverGetVersion, "cuDriverGetVersion", (int*))                                                                \
  X(getErrorName, "cuGetErrorName", (CUresult, const char**))                                                      \
  X(getErrorString, "cuGetErrorString", (CUresult, const char**))                                                  \
  X(deviceGetCount, "cuDeviceGetCount", (int*))                                                                    \
  X(deviceGet, "cuDeviceGet", (CUdevice*, int))                                                                    \
  X(deviceGetName, "cuDeviceGetName", (char*, int, CUdevice))                                                      \
  X(deviceTotalMem, "cuDeviceTotalMem_v2", (size_t*, CUdevice))                                                    \
  X(deviceGetAttribute, "cuDeviceGetAttribute", (int*, CUdevice_attribute, CUdevice))                              \
  X(primaryContextRetain, "cuDevicePrimaryCtxRetain", (CUcontext*, CUdevice))                                      \
  X(primaryContextRelease, "cuDevicePrimaryCtxRelease_v2", (CUdevice))                                             \
  X(contextSetCurrent, "cuCtxSetCurrent", (CUcontext))                                                             \
  X(contextPush, "cuCtxPushCurrent_v2", (CUcontext))                                                               \
  X(contextPop, "cuCtxPopCurrent_v2", (CUcontext*))                                                                \
  X(moduleLoadData, "cuModuleLoadData", (CUmodule*, const void*))                                                  \
  X(moduleUnload, "cuModuleUnload", (CUmodule))                                                                    \
  X(moduleGetFunction, "cuModuleGetFunction", (CUfunction*, CUmodule, const char*))                                \
  X(functionGetAttribute, "cuFuncGetAttribute", (int*, CUfunction_attribute, CUfunction))                          \
  X(functionSetAttribute, "cuFuncSetAttribute", (CUfunction, CUfunction_attribute, int))                           \
  X(occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor", (int*, CUfunction, int, size_t))                     \
  X(launchKernel, "cuLaunchKernel",                                                                                \
    (CUfunction, unsigned int, unsigned int, unsigned int, unsigned int, unsigned int, unsigned int, unsigned int, \
     CUstream, void**, void**))                                                                                    \
  X(memoryInfo, "cuMemGetInfo_v2", (size_t*, size_t*))                                                             \
  X(memoryAllocate, "cuMemAlloc_v2", (CUdeviceptr*, size_t))                                                       \
  X(memoryFree, "cuMemFree_v2", (CUdeviceptr))                                                                     \
  X(hostAllocate, "cuMemHostAlloc", (void**, size_t, unsigned int))                                                \
  X(hostFree, "cuMemFreeHost", (void*))                                                                            \
  X(copyToDevice, "cuMemcpyHtoDAsync_v2", (CUdeviceptr, const void*, size_t, CUstream))                            \
  X(copyToHost, "cuMemcpyDtoHAsync_v2", (void*, CUdeviceptr, size_t, CUstream))                                    \
  X(copyOnDevice, "cuMemcpyDtoDAsync_v2", (CUdeviceptr, CUdeviceptr, size_t, CUstream))                            \
  X(fill8, "cuMemsetD8Async", (CUdeviceptr, unsigned char, size_t, CUstream))                                      \
  X(fill16, "cuMemsetD16Async", (CUdeviceptr, unsigned short, size_t, CUstream))                                   \
  X(fill32, "cuMemsetD32Async", (CUdeviceptr, unsigned int, size_t, CUstream))                                     \
  X(streamCreate, "cuStreamCreate", (CUstream*, unsigned int))                                                     \
  X(streamDestroy, "cuStreamDestroy_v2", (CUstream))                                                               \
  X(streamSynchronize, "cuStreamSynchronize", (CUstream))                                                          \
  X(streamWaitEvent, "cuStreamWaitEvent", (CUstream, CUevent, unsigned int))                                       \
  X(streamBeginCapture, "cuStreamBeginCapture_v2", (CUstream, CUstreamCaptureMode))                                \
  X(streamEndCapture, "cuStreamEndCapture", (CUstream, CUgraph*))                                                  \
  X(eventCreate, "cuEventCreate", (CUevent*, unsigned int))                                                        \
  X(eventDestroy, "cuEventDestroy_v2", (CUevent))                                                                  \
  X(eventRecord, "cuEventRecord", (CUevent, CUstream))                                                             \
  X(eventSynchronize, "cuEventSynchronize", (CUevent))                                                             \
  X(eventElapsed, "cuEventElapsedTime", (float*, CUevent, CUevent))                                                \
  X(graphInstantiate, "cuGraphInstantiateWithFlags", (CUgraphExec*, CUgraph, unsigned long long))                  \
  X(graphLaunch, "cuGraphLaunch", (CUgraphExec, CUstream))                                                         \
  X(graphExecDestroy, "cuGraphExecDestroy", (CUgraphExec))                                                         \
  X(graphDestroy, "cuGraphDestroy", (CUgraph))

/// What may be missing: where there are no memory pools, memory is allocated without them; where streams cannot write,
/// less is known of where an error comes from.
#define PW_CUDA_OPTIONAL_FUNCTIONS(X)                                                        \
  X(poolCreate, "cuMemPoolCreate", (CUmemoryPool*, const CUmemPoolProps*))                   \
  X(poolDestroy, "cuMemPoolDestroy", (CUmemoryPool))                                         \
  X(poolTrim, "cuMemPoolTrimTo", (CUmemoryPool, size_t))                                     \
  X(poolSetAttribute, "cuMemPoolSetAttribute", (CUmemoryPool, CUmemPool_attribute, void*))   \
  X(poolGetAttribute, "cuMemPoolGetAttribute", (CUmemoryPool, CUmemPool_attribute, void*))   \
  X(poolAllocate, "cuMemAllocFromPoolAsync", (CUdeviceptr*, size_t, CUmemoryPool, CUstream)) \
  X(poolFree, "cuMemFreeAsync", (CUdeviceptr, CUstream))                                     \
  X(streamWriteValue, "cuStreamWriteValue32_v2", (CUstream, CUdeviceptr, uint32_t, unsigned int))

/// The loaded driver. `reason` says why there is none when `usable` is false.
struct Driver {
#define PW_MEMBER(member, symbol, parameters) CUresult(PW_CUDAAPI* member) parameters = nullptr;
  PW_CUDA_DRIVER_FUNCTIONS(PW_MEMBER)
  PW_CUDA_OPTIONAL_FUNCTIONS(PW_MEMBER)
#undef PW_MEMBER
  bool usable = false;
  std::string reason;
  /// 13000 for a driver of CUDA 13.0.
  int version = 0;

  /// "CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"
  std::string describe(CUresult result) const;
};

/// The process's driver. Loads and initialises it on the first call; thread-safe, never throws. It is never unloaded:
/// what outlives every device (handles that the garbage collector finds at exit) may still call it.
const Driver& driver();

}  // namespace pw::gpu
