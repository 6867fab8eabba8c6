// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/rope.h"

#include <algorithm>

#include "gpu/ops.h"
#include "gpu/rows.h"

namespace pw::gpu {
namespace {

pw_gpu_heads headsOf(const pw_tensor& t) { return {t.data, t.strides[0], t.strides[1], t.dtype}; }

/// Four neighbours can be accessed at once wherever a head begins.
bool inFours(const pw_tensor& t) { return !t.data || rowsAligned(t, 4 * pw_dtype_size(t.dtype)); }

}  // namespace

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
  p.table = static_cast<const float*>(a.table.data);
  p.tableStride = a.table.strides[0];
  p.heads = static_cast<int32_t>(a.q.shape[1]);
  p.dim = static_cast<int32_t>(a.q.shape[2]);
  p.half = static_cast<int32_t>(a.table.shape[1] / 2);
  p.interleaved = a.pairing == PW_ROPE_INTERLEAVED;
  p.copyTail = a.q_out.data != a.q.data;
  p.aligned = p.half % 4 == 0 && rowsAligned(a.table, 16) && inFours(a.q) && inFours(a.q_out);
  if (a.k.data) {
    p.k = headsOf(a.k);
    p.kOut = headsOf(a.k_out);
    p.kvHeads = static_cast<int32_t>(a.k.shape[1]);
    p.copyTail = p.copyTail || a.k_out.data != a.k.data;
    p.aligned = p.aligned && inFours(a.k) && inFours(a.k_out);
  }
  const int64_t pieces = divideUp(p.half, 4) + (p.copyTail ? divideUp(p.dim - 2 * p.half, 4) : 0);
  const int64_t threads = std::clamp<int64_t>(divideUp((p.heads + p.kvHeads) * pieces, 32) * 32, 32, 256);
  context.launch(context.kernel("rope/rope", "pw_rope"), {static_cast<unsigned>(a.q.shape[0])},
                 {static_cast<unsigned>(threads)}, 0, p);
}

}  // namespace pw::gpu
