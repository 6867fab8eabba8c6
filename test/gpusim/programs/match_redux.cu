// SPDX-License-Identifier: Apache-2.0
// Warp-aggregated counting with match and redux, and warp votes.
#ifdef __CUDACC__
extern "C" __global__ void count(const unsigned* keys, unsigned* counts, unsigned* sums, unsigned* votes, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const bool inside = i < n;
  const unsigned live = __ballot_sync(~0u, inside);
  if (inside) {
    const unsigned key = keys[i], peers = __match_any_sync(live, key);
    const int leader = __ffs(peers) - 1, lane = threadIdx.x % 32;
    if (lane == leader) atomicAdd(&counts[key], unsigned(__popc(peers)));
    const unsigned sum = __reduce_add_sync(live, key), most = __reduce_max_sync(live, key),
                   parity = __reduce_xor_sync(live, key);
    int same;
    __match_all_sync(live, key / 16, &same);
    if (lane == 0) {
      sums[i / 32] = sum * 100 + most;
      votes[i / 32] = parity | (__any_sync(1u, key > 5) ? 256 : 0);
    }
    if (lane == 0 && same) votes[i / 32] |= 512;
  }
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 1000, warps = 32;
  const auto keys = harness::randomIntegers<unsigned>(n, 0, 15);
  std::vector<unsigned> counts(16), sums(warps), votes(warps);
  for (int i = 0; i < n; ++i) ++counts[keys[i]];
  for (int w = 0; w < warps; ++w) {
    unsigned sum = 0, most = 0, parity = 0;
    for (int i = w * 32; i < std::min(n, w * 32 + 32); ++i) {
      sum += keys[i];
      most = std::max(most, keys[i]);
      parity ^= keys[i];
    }
    sums[w] = sum * 100 + most;
    votes[w] = parity | (keys[w * 32] > 5 ? 256 : 0) | 512;
  }
  harness::Buffer<unsigned> in(keys), c(16), s(warps), v(warps);
  c.clear();
  harness::Launch{program.kernel("count"), {4}, {256}}(in, c, s, v, n);
  harness::Report report;
  report.equal(c.download(), counts, "count");
  report.equal(s.download(), sums, "sum");
  report.equal(v.download(), votes, "votes");
  return report.finish();
}
#endif
