// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/norm.h"

#include <algorithm>

#include "gpu/ops.h"
#include "gpu/rows.h"

namespace pw::gpu {

void rmsNorm(Context& context, const pw_rmsnorm_args& a) {
  const int chunk = chunkOf({&a.x, &a.weight, &a.residual, &a.out});
  pw_gpu_rmsnorm_params p{};
  p.x = rowsOf(a.x);
  p.residual = rowsOf(a.residual);
  p.out = rowsOf(a.out);
  p.weight = rowsOf(a.weight);
  p.dim = rowLength(a.x);
  p.eps = a.eps;
  const char* entry = chunk == 8 ? "pw_rmsnorm_8" : chunk == 4 ? "pw_rmsnorm_4" : "pw_rmsnorm_1";
  // A thread per chunk up to the largest block, so that a single row is read with all its loads under way.
  const auto threads = static_cast<unsigned>(std::clamp<int64_t>(divideUp(p.dim, chunk * 32) * 32, 32, 512));
  context.launch(context.kernel("norm/rmsnorm", entry), {static_cast<unsigned>(rowCount(a.x))}, {threads}, 0, p);
}

}  // namespace pw::gpu
