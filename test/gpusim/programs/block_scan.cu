// SPDX-License-Identifier: Apache-2.0
// Work-efficient (Blelloch) exclusive scan in shared memory, and a Hillis-Steele one by warps.
#ifdef __CUDACC__
extern "C" __global__ void blelloch(const int* in, int* out) {
  __shared__ int cells[512];
  const int t = threadIdx.x, n = 512;
  cells[2 * t] = in[blockIdx.x * n + 2 * t];
  cells[2 * t + 1] = in[blockIdx.x * n + 2 * t + 1];
  int offset = 1;
  for (int d = n / 2; d > 0; d /= 2, offset *= 2) {
    __syncthreads();
    if (t < d) cells[offset * (2 * t + 2) - 1] += cells[offset * (2 * t + 1) - 1];
  }
  __syncthreads();
  if (t == 0) cells[n - 1] = 0;
  for (int d = 1; d < n; d *= 2) {
    offset /= 2;
    __syncthreads();
    if (t < d) {
      const int a = offset * (2 * t + 1) - 1, b = offset * (2 * t + 2) - 1;
      const int left = cells[a];
      cells[a] = cells[b];
      cells[b] += left;
    }
  }
  __syncthreads();
  out[blockIdx.x * n + 2 * t] = cells[2 * t];
  out[blockIdx.x * n + 2 * t + 1] = cells[2 * t + 1];
}

extern "C" __global__ void warps(const int* in, int* out) {
  __shared__ int totals[16];
  const int t = threadIdx.x, lane = t % 32, warp = t / 32;
  const int value = in[blockIdx.x * 512 + t];
  int sum = value;
  for (int d = 1; d < 32; d *= 2) {
    const int other = __shfl_up_sync(~0u, sum, d);
    if (lane >= d) sum += other;
  }
  if (lane == 31) totals[warp] = sum;
  __syncthreads();
  int before = 0;
  for (int w = 0; w < warp; ++w) before += totals[w];
  out[blockIdx.x * 512 + t] = before + sum - value;
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 512 * 3;
  const auto values = harness::randomIntegers<int>(n, -100, 100);
  std::vector<int> expected(n);
  for (int i = 0; i < n; ++i) expected[i] = i % 512 ? expected[i - 1] + values[i - 1] : 0;
  harness::Buffer<int> in(values), out(n);
  harness::Report report;
  harness::Launch{program.kernel("blelloch"), {3}, {256}}(in, out);
  report.equal(out.download(), expected, "blelloch");
  harness::Launch{program.kernel("warps"), {3}, {512}}(in, out);
  report.equal(out.download(), expected, "warps");
  return report.finish();
}
#endif
