// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "gpu/rows.h"
#include "pagewarp/gpu/rope.h"

namespace pw::gpu {

inline pw_gpu_heads headsOf(const pw_tensor& t) { return {t.data, t.strides[0], t.strides[1], t.dtype}; }

/// How the heads of x are turned on their way to `out`.
inline pw_gpu_rotation rotationOf(const pw_tensor& x, const pw_tensor& out, const pw_tensor& table,
                                  pw_rope_pairing pairing) {
  pw_gpu_rotation r{};
  r.table = static_cast<const float*>(table.data);
  r.tableStride = table.strides[0];
  r.dim = static_cast<int32_t>(x.shape[2]);
  r.half = static_cast<int32_t>(table.shape[1] / 2);
  r.interleaved = pairing == PW_ROPE_INTERLEAVED;
  r.copyTail = out.data != x.data;
  // Four neighbours can be accessed at once wherever a head begins.
  const auto inFours = [](const pw_tensor& t) { return rowsAligned(t, 4 * pw_dtype_size(t.dtype)); };
  r.aligned = r.half % 4 == 0 && rowsAligned(table, 16) && inFours(x) && inFours(out);
  return r;
}

}  // namespace pw::gpu
