// SPDX-License-Identifier: Apache-2.0
// Single-pass prefix sum with decoupled look-back (Merrill and Garland 2016): blocks spin on their predecessors'
// status.
#ifdef __CUDACC__
enum : unsigned long long { kInvalid = 0, kAggregate = 1ull << 62, kPrefix = 2ull << 62, kStatus = 3ull << 62 };

__device__ unsigned tickets = 0;

extern "C" __global__ void scan(const unsigned* in, unsigned* out, unsigned long long* tiles, int n) {
  __shared__ unsigned tile, before, totals[4];
  if (threadIdx.x == 0) tile = atomicAdd(&tickets, 1u);
  __syncthreads();
  const int i = tile * 128 + threadIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const unsigned value = i < n ? in[i] : 0;
  unsigned sum = value;
  for (int d = 1; d < 32; d *= 2) {
    const unsigned other = __shfl_up_sync(~0u, sum, d);
    if (lane >= d) sum += other;
  }
  if (lane == 31) totals[warp] = sum;
  __syncthreads();
  unsigned warpsBefore = 0, total = 0;
  for (int w = 0; w < 4; ++w) {
    if (w < warp) warpsBefore += totals[w];
    total += totals[w];
  }
  if (threadIdx.x == 0) {
    unsigned prefix = 0;
    if (tile > 0) {
      atomicExch(&tiles[tile], kAggregate | total);
      for (int t = int(tile) - 1; t >= 0; --t) {
        unsigned long long status;
        do status = atomicAdd(&tiles[t], 0ull);
        while ((status & kStatus) == kInvalid);
        prefix += unsigned(status);
        if ((status & kStatus) == kPrefix) break;
      }
    }
    atomicExch(&tiles[tile], kPrefix | (prefix + total));
    before = prefix;
  }
  __syncthreads();
  if (i < n) out[i] = before + warpsBefore + sum - value;
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 5000, blocks = (n + 127) / 128;
  const auto values = harness::randomIntegers<unsigned>(n, 0, 1000);
  harness::Buffer<unsigned> in(values), out(n);
  harness::Buffer<unsigned long long> tiles(blocks);
  tiles.clear();
  harness::Launch{program.kernel("scan"), {unsigned(blocks)}, {128}}(in, out, tiles, n);
  const auto result = out.download();
  harness::Report report;
  unsigned sum = 0;
  for (int i = 0; i < n; sum += values[i++]) report.equal(result[i], sum, "prefix", i);
  return report.finish();
}
#endif
