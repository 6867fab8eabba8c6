// SPDX-License-Identifier: Apache-2.0
/// @file The first token of each row in the total order: parts of rows by blocks, then the parts of a row by a warp.
#include "pagewarp/status.h"
#include "sample/logits.cuh"

extern "C" __global__ void __launch_bounds__(256) pw_argmax_parts(const __grid_constant__ pw_gpu_argmax_params p) {
  using namespace pw;
  using namespace pw::sampling;
  __shared__ uint64_t best[kWarp];
  const LogitsRow row = rowOf(p.logits, static_cast<int>(blockIdx.y));
  const int first = static_cast<int>(blockIdx.x) * (p.partSize / kBlock);
  const int end = min(first + p.partSize / kBlock, row.blocks());
  Scan scan;
  for (int b = first + warpIndex(); b < end; b += warpCount()) {
    float x[kPerLane];
    row.load(b, x);
    scan.take(x, b);
  }
  const int bad = __syncthreads_or(scan.bad);
  const uint64_t found = reduceBlock(scan.best, Maximum(), best);
  if (threadIdx.x == 0) p.found[blockIdx.y * static_cast<int64_t>(p.parts) + blockIdx.x] = {found, bad != 0, 0};
}

extern "C" __global__ void __launch_bounds__(32) pw_argmax_rows(const __grid_constant__ pw_gpu_argmax_params p) {
  using namespace pw;
  using namespace pw::sampling;
  const int row = static_cast<int>(blockIdx.x);
  const pw_gpu_argmax_part* parts = p.found + row * static_cast<int64_t>(p.parts);
  uint64_t best = 0;
  bool bad = false;
  for (int i = laneIndex(); i < p.parts; i += kWarp) {
    best = Maximum()(best, parts[i].best);
    bad = bad || parts[i].invalid != 0;
  }
  best = reduceWarp(best, Maximum());
  const bool valid = !__any_sync(kAllLanes, bad) && best != 0;
  if (laneIndex() != 0) return;
  writeInteger(p.ids, row, valid ? tokenOfRank(best) : -1);
  if (!valid) pw_gpu_report(p.error, PW_INVALID_LOGITS, row, 0);
}
