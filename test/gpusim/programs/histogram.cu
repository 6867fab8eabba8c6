// SPDX-License-Identifier: Apache-2.0
// Histogram with privatised bins in shared memory, merged with global atomics.
#ifdef __CUDACC__
extern "C" __global__ void histogram(const unsigned char* in, unsigned* bins, int n) {
  __shared__ unsigned local[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&local[in[i]], 1u);
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) {
    if (local[i] > 0) atomicAdd(&bins[i], local[i]);
  }
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  auto values = harness::randomIntegers<unsigned char>(20000, 0, 255);
  for (size_t i = 0; i < values.size(); i += 2) values[i] /= 32;
  std::vector<unsigned> expected(256);
  for (const auto value : values) ++expected[value];
  harness::Buffer<unsigned char> in(values);
  harness::Buffer<unsigned> bins(256);
  bins.clear();
  harness::Launch{program.kernel("histogram"), {4}, {160}}(in, bins, int(values.size()));
  harness::Report report;
  report.equal(bins.download(), expected, "bin");
  return report.finish();
}
#endif
