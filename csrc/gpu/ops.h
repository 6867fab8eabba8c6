// SPDX-License-Identifier: Apache-2.0
/// @file Launchers of the CUDA backend, one per op, each in csrc/gpu/<op>.cpp. A launcher picks the kernel instance,
/// fills its parameters and launches it. Arguments were validated in lib/ops; what an op does not support on CUDA was
/// refused there (lib/ops/supports.ts), and throws Error(PW_UNSUPPORTED) here.
#pragma once
#include "gpu/context.h"
#include "pagewarp/tensor.h"

namespace pw::gpu {

/// Sets every element of a contiguous tensor.
void fillContiguous(Context& context, const pw_tensor& to, double value);

}  // namespace pw::gpu
