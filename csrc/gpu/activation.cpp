// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/activation.h"

#include <algorithm>

#include "gpu/ops.h"
#include "gpu/rows.h"

namespace pw::gpu {

void gated(Context& context, const pw_gated_args& a) {
  const int chunk = chunkOf({&a.gate, &a.up, &a.out});
  pw_gpu_gated_params p{};
  p.gate = rowsOf(a.gate);
  p.up = rowsOf(a.up);
  p.out = rowsOf(a.out);
  p.length = rowLength(a.out);
  p.rows = static_cast<int32_t>(rowCount(a.out));
  p.activation = a.activation;
  const char* entry = chunk == 8 ? "pw_gated_8" : chunk == 4 ? "pw_gated_4" : "pw_gated_1";
  constexpr int64_t kMostThreads = 256, kMostRows = 65535;
  const int64_t chunks = divideUp(p.length, chunk), threads = std::min(divideUp(chunks, 32) * 32, kMostThreads);
  context.launch(context.kernel("activation/gated", entry),
                 {static_cast<unsigned>(divideUp(chunks, kMostThreads)),
                  static_cast<unsigned>(std::min<int64_t>(p.rows, kMostRows))},
                 {static_cast<unsigned>(threads)}, 0, p);
}

}  // namespace pw::gpu
