// SPDX-License-Identifier: Apache-2.0
#include "pagewarp/gpu/matrix.h"
#include "pagewarp/gpu/pack.h"

/// Grid: (blocks of 32 columns / warps, strips).
extern "C" __global__ void __launch_bounds__(128) pw_pack(const __grid_constant__ pw_gpu_pack_params p) {
  using namespace pw::gpu;
  const int lane = static_cast<int>(threadIdx.x) % kLanes, strip = static_cast<int>(blockIdx.y);
  const int64_t block = static_cast<int64_t>(blockIdx.x) * (blockDim.x / kLanes) + threadIdx.x / kLanes;
  if (block >= blockCount(p.k)) return;
  const auto format = static_cast<pw_matrix_format>(p.format);
  const PackedLayout layout = packedLayout(format);
  const StripSource source{p.source + strip * kStripRows * p.row_bytes, p.row_bytes,
                           min(kStripRows, p.rows - strip * kStripRows)};
  uint8_t* header = p.out + blockOffset(layout, p.k, p.first_strip + strip, block);
  uint8_t* superHeader = p.out + superHeaderOffset(layout, p.k, p.first_strip + strip, block);
  for (int r = lane; r < kStripRows; r += kLanes) packHeader(p.type, source, block, r, header, superHeader);
  packCodes(p.type, source, block, lane, header + layout.headerBytes);
}
