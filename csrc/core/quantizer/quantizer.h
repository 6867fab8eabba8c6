// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "core/thread_pool.h"
#include "pagewarp/quantizer.h"

namespace pw {

/// Bytes of a row of k columns in the blocks of a grid.
int64_t gridRowBytes(pw_grid grid, int64_t k);

/// Runs a pw_quantizer_args on the host; rows are spread over the pool.
void quantizeWeights(const pw_quantizer_args& args, ThreadPool& pool);

}  // namespace pw
