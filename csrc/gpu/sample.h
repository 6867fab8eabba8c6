// SPDX-License-Identifier: Apache-2.0
/// @file What the launchers of sampling and of verification share.
#pragma once
#include "gpu/context.h"
#include "pagewarp/gpu/sample.h"

namespace pw::gpu {

/// A vector of i32 or i64; of an absent one, null.
pw_gpu_vector vectorOf(const pw_tensor& t);
pw_gpu_logits logitsOf(const pw_tensor& t);
pw_gpu_sampling samplingOf(const pw_sampling& sampling);

/// Threads of a block that works on rows of `size` tokens: depends on nothing else, so that a row's sums do not either.
unsigned samplingThreads(int64_t size);

/// Scratch memory for `blocks` thread blocks.
/// @param penalizes rows may have penalties
pw_gpu_sample_workspace sampleWorkspace(Context& context, int64_t size, bool penalizes, int64_t blocks);

}  // namespace pw::gpu
