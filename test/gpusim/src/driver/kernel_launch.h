// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "api.h"
#include "module.h"

namespace gpusim {

/// The arguments that all launch functions and kernel nodes share.
struct LaunchRequest {
  Dim3 grid;
  Dim3 block;
  uint32_t sharedBytes = 0;
  bool cooperative = false;
  int priority = 0;
  void** kernelParams = nullptr;
  void** extra = nullptr;
};

/// Copies the arguments and checks everything that cuLaunchKernel checks. `context` is where the kernel is to run.
CUresult prepareLaunch(const std::shared_ptr<Context>& context, const void* functionHandle,
                       const LaunchRequest& request, KernelWork& work);

/// Reads the attributes of cuLaunchKernelEx; NOT_SUPPORTED for clusters, which sm_80 to sm_89 do not have.
CUresult readAttributes(const CUlaunchAttribute* attributes, unsigned count, LaunchRequest& request);

}  // namespace gpusim
