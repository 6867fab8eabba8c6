// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/norm.h"

#include <algorithm>
#include <string>

#include "gpu/ops.h"
#include "gpu/rows.h"

namespace pw::gpu {

void rmsNorm(Context& context, const pw_rmsnorm_args& a) {
  // Codes fit any chunk. They take that of an f32 result, so that sums of squares have its order, and so its bits.
  const bool isRounded = a.out.dtype == PW_I8;
  const int most = isRounded ? 4 : 8, chunk = std::min(most, chunkOf({&a.x, &a.weight, &a.residual, &a.out}));
  pw_gpu_rmsnorm_params p{};
  p.x = rowsOf(a.x);
  p.residual = rowsOf(a.residual);
  p.weight = rowsOf(a.weight);
  p.dim = rowLength(a.x);
  p.eps = a.eps;
  // A thread per chunk up to the largest block, so that a single row is read with all its loads under way.
  const auto threads = static_cast<unsigned>(std::clamp<int64_t>(divideUp(p.dim, chunk * 32) * 32, 32, 512));
  const Dim3 grid{static_cast<unsigned>(rowCount(a.x))};
  if (isRounded) {
    pw_gpu_rmsnorm_int8_params rounded{};
    rounded.norm = p;
    rounded.codes = static_cast<int8_t*>(a.out.data);
    rounded.scales = static_cast<float*>(a.scales.data);
    rounded.sums = static_cast<int32_t*>(a.sums.data);
    const Kernel& kernel = context.kernel("norm/rmsnorm_int8", ("pw_rmsnorm_int8_" + std::to_string(chunk)).c_str());
    return context.launch(kernel, grid, {threads}, 0, rounded);
  }
  p.out = rowsOf(a.out);
  const Kernel& kernel = context.kernel("norm/rmsnorm", ("pw_rmsnorm_" + std::to_string(chunk)).c_str());
  context.launch(kernel, grid, {threads}, 0, p);
}

}  // namespace pw::gpu
