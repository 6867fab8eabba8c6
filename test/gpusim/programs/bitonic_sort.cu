// SPDX-License-Identifier: Apache-2.0
// Bitonic sort: of 32 keys in registers by shuffles, and of 1024 in shared memory.
#ifdef __CUDACC__
extern "C" __global__ void sortWarps(int* keys) {
  const int lane = threadIdx.x % 32;
  int key = keys[blockIdx.x * blockDim.x + threadIdx.x];
  for (int size = 2; size <= 32; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      const int other = __shfl_xor_sync(~0u, key, stride);
      const bool ascending = (lane & size) == 0, lower = (lane & stride) == 0;
      key = ascending == lower ? min(key, other) : max(key, other);
    }
  keys[blockIdx.x * blockDim.x + threadIdx.x] = key;
}

extern "C" __global__ void sortBlock(int* keys) {
  __shared__ int cells[1024];
  const int t = threadIdx.x;
  cells[t] = keys[t];
  cells[t + 512] = keys[t + 512];
  for (int size = 2; size <= 1024; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      const int i = 2 * t - (t & (stride - 1)), j = i + stride;
      const bool ascending = (i & size) == 0;
      if ((cells[i] > cells[j]) == ascending) {
        const int swap = cells[i];
        cells[i] = cells[j];
        cells[j] = swap;
      }
    }
  __syncthreads();
  keys[t] = cells[t];
  keys[t + 512] = cells[t + 512];
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  auto values = harness::randomIntegers<int>(1024, -500, 500);
  harness::Buffer<int> keys(values);
  harness::Report report;
  harness::Launch{program.kernel("sortWarps"), {8}, {128}}(keys);
  auto expected = values;
  for (size_t i = 0; i < expected.size(); i += 32) std::sort(expected.begin() + i, expected.begin() + i + 32);
  report.equal(keys.download(), expected, "warp");
  harness::Launch{program.kernel("sortBlock"), {1}, {512}}(keys);
  std::sort(expected.begin(), expected.end());
  report.equal(keys.download(), expected, "block");
  return report.finish();
}
#endif
