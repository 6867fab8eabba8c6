// SPDX-License-Identifier: Apache-2.0
// cooperative_groups inside a block: tiles, reductions and scans over them, coalesced and labelled groups.
#ifdef __CUDACC__
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
namespace cg = cooperative_groups;

extern "C" __global__ void tiles(const int* in, int* sums, int* scans, int* positives, int* labelled) {
  const cg::thread_block block = cg::this_thread_block();
  const auto tile = cg::tiled_partition<8>(block);
  const int rank = blockIdx.x * blockDim.x + block.thread_rank();
  const int value = in[rank];
  sums[rank] = cg::reduce(tile, value, cg::plus<int>());
  scans[rank] = cg::exclusive_scan(tile, value);
  positives[rank] = -1;
  if (value > 0) {
    const cg::coalesced_group active = cg::coalesced_threads();
    positives[rank] = active.size() * 100 + active.thread_rank();
  }
  const auto warp = cg::tiled_partition<32>(block);
  const auto same = cg::labeled_partition(warp, value & 3);
  labelled[rank] = cg::reduce(same, value, cg::greater<int>());
  block.sync();
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 256;
  const auto values = harness::randomIntegers<int>(n, -50, 50);
  harness::Buffer<int> in(values), sums(n), scans(n), positives(n), labelled(n);
  harness::Launch{program.kernel("tiles"), {2}, {128}}(in, sums, scans, positives, labelled);
  const auto s = sums.download(), x = scans.download(), p = positives.download(), l = labelled.download();
  harness::Report report;
  for (int i = 0; i < n; ++i) {
    int sum = 0, scan = 0, count = 0, rank = 0, best = -1000;
    for (int j = i / 8 * 8; j < i / 8 * 8 + 8; ++j) {
      sum += values[j];
      if (j < i) scan += values[j];
    }
    for (int j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) {
      if (values[j] > 0) {
        ++count;
        if (j < i) ++rank;
      }
      if ((values[j] & 3) == (values[i] & 3)) best = std::max(best, values[j]);
    }
    report.equal(s[i], sum, "tile sum", i);
    report.equal(x[i], scan, "tile scan", i);
    report.equal(p[i], values[i] > 0 ? count * 100 + rank : -1, "coalesced group", i);
    report.equal(l[i], best, "labelled group", i);
  }
  return report.finish();
}
#endif
