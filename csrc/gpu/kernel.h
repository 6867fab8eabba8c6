// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "gpu/driver.h"
#include "gpu/properties.h"

namespace pw::gpu {

class PrimaryContext;

/// A loaded entry point.
struct Kernel {
  CUfunction function = nullptr;
  std::string module, entry;
  int registers = 0;
  int staticShared = 0;
  int maxThreads = 0;                  ///< per block
  mutable unsigned dynamicShared = 0;  ///< the dynamic shared memory that it has been opted in for
};

/// The embedded fatbins of a device, loaded when they are first asked for. Used by the engine thread only.
class Modules {
 public:
  explicit Modules(const PrimaryContext& primary) : primary_(primary) {}
  ~Modules();
  Modules(const Modules&) = delete;
  Modules& operator=(const Modules&) = delete;

  /// @throws Error(PW_DEVICE_UNAVAILABLE)
  const Kernel& kernel(const char* module, const char* entry);
  int residentBlocks(const Kernel& kernel, unsigned threads, unsigned sharedBytes);
  /// Allows the kernel that much dynamic shared memory. @throws Error(PW_UNSUPPORTED) when the device has less
  void allowShared(const Kernel& kernel, unsigned sharedBytes);

 private:
  CUmodule load(const std::string& name);

  const PrimaryContext& primary_;
  std::map<std::string, CUmodule> modules_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Kernel>> kernels_;
  std::map<std::tuple<CUfunction, unsigned, unsigned>, int> occupancy_;
};

}  // namespace pw::gpu
