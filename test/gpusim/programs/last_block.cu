// SPDX-License-Identifier: Apache-2.0
// The block that finishes last reduces the others' partial sums (threadFenceReduction).
#ifdef __CUDACC__
__device__ unsigned finished = 0;

extern "C" __global__ void sum(const int* in, int* partial, int* out, int n) {
  __shared__ int cells[128];
  __shared__ bool last;
  const auto reduce = [&](int value) {
    cells[threadIdx.x] = value;
    for (int half = 64; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) cells[threadIdx.x] += cells[threadIdx.x + half];
    }
    __syncthreads();
    return cells[0];
  };
  int value = 0;
  for (int i = blockIdx.x * 128 + threadIdx.x; i < n; i += gridDim.x * 128) value += in[i];
  const int total = reduce(value);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = total;
    __threadfence();
    last = atomicInc(&finished, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  value = 0;
  for (int i = threadIdx.x; i < gridDim.x; i += 128) value += ((volatile int*)partial)[i];
  const int all = reduce(value);
  if (threadIdx.x == 0) *out = all;
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const auto values = harness::randomIntegers<int>(10000, -1000, 1000);
  int expected = 0;
  for (const int value : values) expected += value;
  harness::Buffer<int> in(values), partial(20), out(1);
  harness::Report report;
  for (int round = 0; round < 3; ++round) {
    harness::Launch{program.kernel("sum"), {20}, {128}}(in, partial, out, int(values.size()));
    report.equal(out.download()[0], expected, "sum", round);
  }
  return report.finish();
}
#endif
