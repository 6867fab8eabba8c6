// SPDX-License-Identifier: Apache-2.0
// Vector addition with a grid-stride loop and a length that is no multiple of the block.
#ifdef __CUDACC__
extern "C" __global__ void add(const float* a, const float* b, float* out, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) out[i] = a[i] + b[i];
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 10007;
  const auto a = harness::randomFloats(n, -4, 4, 1), b = harness::randomFloats(n, -4, 4, 2);
  harness::Buffer<float> left(a), right(b), out(n);
  harness::Launch{program.kernel("add"), {5}, {128}}(left, right, out, n);
  harness::Report report;
  const auto result = out.download();
  for (int i = 0; i < n; ++i) report.equal(result[i], a[i] + b[i], "sum", i);
  return report.finish();
}
#endif
