// SPDX-License-Identifier: Apache-2.0
/// @file engine.h
/// The execution engine as the driver layer sees it: load PTX, launch a kernel, look at what happened.
///
/// Nothing here knows of streams, contexts or handles. `launch` is synchronous and may be called from several threads
/// at once (one per stream); everything is deterministic for a given seed as long as concurrent launches are
/// independent. Compile the engine with `-O3 -ffp-contract=off -fno-math-errno -fno-trapping-math`; floating-point
/// results depend on
/// `-ffp-contract=off`.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "check/check.h"
#include "device_model.h"
#include "memory/global_memory.h"
#include "profile/profile.h"
#include "status.h"

namespace gpusim {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t(x) * y * z; }
};

/// One device: its model, its memory and the engine's settings. Create one per simulated device.
struct DeviceState {
  explicit DeviceState(DeviceModel m);
  ~DeviceState();

  DeviceModel model;
  CheckOptions checks;                            ///< from GPUSIM_CHECK
  std::vector<uint64_t> seeds;                    ///< from GPUSIM_SEED (default 0), one or several
  int hostThreads = 1;                            ///< from GPUSIM_THREADS (default: the cores of the host)
  uint64_t stackLimit = 1024;                     ///< CU_LIMIT_STACK_SIZE: bytes of local stack for recursive calls
  std::function<void(const std::string&)> print;  ///< receives device printf output; default: stdout
  std::atomic<uint64_t> launches{0};
  std::atomic<int> running{0};  ///< launches under way
  GlobalMemory memory;

  /// The seed of the launch with this number: drawn from `seeds`, the same in every run.
  uint64_t seedOf(uint64_t launch) const;

  struct Heap;  ///< device-side malloc/free
  std::unique_ptr<Heap> heap;
  uint64_t heapLimit = 8ull << 20;  ///< CU_LIMIT_MALLOC_HEAP_SIZE
};

/// What the JIT says about a PTX text; both end in a newline unless empty.
struct JitLog {
  std::string info;
  std::string error;
};

struct KernelParameter {
  std::string name;
  uint32_t offset = 0;  ///< in the parameter buffer
  uint32_t size = 0;
  uint32_t align = 1;
};

/// Decoded code of a kernel; internal to the engine.
struct KernelCode;

struct Kernel {
  std::string name;
  std::vector<KernelParameter> parameters;
  uint32_t parameterBytes = 0;  ///< size of the parameter buffer
  uint32_t registers = 0;       ///< per thread: an estimate from liveness, at least 16, at most 255
  uint32_t staticShared = 0;
  uint32_t localBytes = 0;                  ///< per thread
  uint32_t constBytes = 0;                  ///< user constants of the module
  uint32_t maxThreads = 0;                  ///< .maxntid/.reqntid product or the device's limit
  uint32_t requiredThreads[3] = {0, 0, 0};  ///< .reqntid, all 0 when absent
  uint32_t minBlocksPerSm = 0;
  int ptxVersion = 0;         ///< e.g. 80: target of the PTX
  int binaryVersion = 0;      ///< e.g. 86: the device it was compiled for
  bool cooperative = true;    ///< may be launched cooperatively
  bool communicates = false;  ///< has inter-block communication: blocks are interleaved on one host thread
  std::shared_ptr<const KernelCode> code;
};

struct ModuleVariable {
  std::string name;
  uint64_t address = 0;
  uint64_t size = 0;
  bool constant = false;
  bool managed = false;
};

/// A loaded PTX module; owns the memory of its variables. The DeviceState must outlive it.
class Module {
 public:
  /// Parses, decodes and links PTX text; InvalidPtx (syntax, unknown instruction in any function) with
  /// `log.error` saying where; NoBinaryForGpu when `.target` is above the device; OutOfMemory.
  ///
  /// Instructions that are well-formed but not implemented do not fail the load: they fail the launch that reaches them
  /// (IllegalInstruction, report with the PTX line), and are listed in `log.info`.
  static Status load(DeviceState& device, const std::string& ptx, JitLog& log, std::unique_ptr<Module>& out);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const Kernel* kernel(const std::string& name) const;
  const ModuleVariable* variable(const std::string& name) const;
  const std::vector<std::unique_ptr<Kernel>>& kernels() const { return kernels_; }
  const std::vector<ModuleVariable>& variables() const { return variables_; }
  int target() const { return target_; }             ///< e.g. 80
  int ptxIsaVersion() const { return isaVersion_; }  ///< e.g. 90 for 9.0

 private:
  friend class ModuleBuilder;
  explicit Module(DeviceState& device) : device_(device) {}
  DeviceState& device_;
  int target_ = 0;
  int isaVersion_ = 0;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::vector<ModuleVariable> variables_;
};

struct LaunchConfig {
  Dim3 grid;
  Dim3 block;
  uint32_t dynamicShared = 0;
  bool cooperative = false;
  uint32_t maxDynamicShared = 0;  ///< the function's CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES; 0: default limit
  std::vector<uint8_t> parameters;  ///< the parameter buffer, laid out by Kernel::parameters
  /// Called at most once, from any thread, when the kernel polls memory that does not change: what it waits for may be
  /// up to the caller to start.
  std::function<void()> stalled;
};

struct LaunchResult {
  Status status = Status::Success;  ///< what a GPU would return; with checks.strict LaunchFailed for a mere hazard
  std::string message;              ///< one line why, empty on success
  std::vector<Report> reports;
  ProfileRecord profile;
};

/// Checks that a launch is legal without running it: InvalidValue (zero or too large dimensions, too many threads,
/// parameter size), LaunchOutOfResources, CooperativeLaunchTooLarge. The driver returns this from cuLaunchKernel.
Status validateLaunch(const DeviceState& device, const Kernel& kernel, const LaunchConfig& config, std::string& why);

/// Runs a kernel to its end. Writes the profile record to GPUSIM_PROFILE itself and prints nothing but device printf;
/// showing `reports` (on stderr) is up to the caller.
LaunchResult launch(DeviceState& device, const Kernel& kernel, const LaunchConfig& config);

/// Blocks of a kernel that fit one SM: the least of what threads, blocks, registers and shared memory allow.
int residentBlocksPerSm(const DeviceModel& model, const Kernel& kernel, uint32_t threadsPerBlock,
                        uint64_t dynamicShared);

}  // namespace gpusim
