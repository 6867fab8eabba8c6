// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runtime_api.h"

namespace cudart {

/// The kernel that a host function stands for; loads its code. cudaErrorInvalidDeviceFunction when there is none.
cudaError_t findKernel(const void* symbol, CUkernel& kernel);

/// Why a launch stub of this thread got no kernel handle.
cudaError_t loadFailure();

}  // namespace cudart
