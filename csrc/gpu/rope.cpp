// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/rope.h"

#include <algorithm>

#include "gpu/ops.h"
#include "gpu/rotation.h"

namespace pw::gpu {
void ropeTable(Context& context, const pw_rope_table_args& a) {
  pw_gpu_rope_table_params p{};
  p.positions = a.positions.data;
  p.half = static_cast<int32_t>(a.frequencies.shape[1]);
  p.high = static_cast<const float*>(a.frequencies.data);
  p.low = p.high + p.half;
  p.table = static_cast<float*>(a.table.data);
  p.positionStride = a.positions.strides[0];
  p.tableStride = a.table.strides[0];
  p.wide = a.positions.dtype == PW_I64;
  p.rows = static_cast<int32_t>(a.positions.shape[0]);
  p.magnitude = a.magnitude;
  constexpr int64_t kMostThreads = 128, kMostRows = 65535;
  const int64_t threads = std::min(divideUp(p.half, 32) * 32, kMostThreads);
  context.launch(context.kernel("rope/rope", "pw_rope_table"),
                 {static_cast<unsigned>(divideUp(p.half, kMostThreads)),
                  static_cast<unsigned>(std::min<int64_t>(p.rows, kMostRows))},
                 {static_cast<unsigned>(threads)}, 0, p);
}

void rope(Context& context, const pw_rope_args& a) {
  pw_gpu_rope_params p{};
  p.q = headsOf(a.q);
  p.qOut = headsOf(a.q_out);
  p.heads = static_cast<int32_t>(a.q.shape[1]);
  p.rotation = rotationOf(a.q, a.q_out, a.table, a.pairing);
  if (a.k.data) {
    p.k = headsOf(a.k);
    p.kOut = headsOf(a.k_out);
    p.kvHeads = static_cast<int32_t>(a.k.shape[1]);
    const pw_gpu_rotation keys = rotationOf(a.k, a.k_out, a.table, a.pairing);
    p.rotation.copyTail |= keys.copyTail;
    p.rotation.aligned &= keys.aligned;
  }
  const int64_t pieces =
      divideUp(p.rotation.half, 4) + (p.rotation.copyTail ? divideUp(p.rotation.dim - 2 * p.rotation.half, 4) : 0);
  const int64_t threads = std::clamp<int64_t>(divideUp((p.heads + p.kvHeads) * pieces, 32) * 32, 32, 256);
  context.launch(context.kernel("rope/rope", "pw_rope"), {static_cast<unsigned>(a.q.shape[0])},
                 {static_cast<unsigned>(threads)}, 0, p);
}

}  // namespace pw::gpu
