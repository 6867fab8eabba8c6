// SPDX-License-Identifier: Apache-2.0
// f32 matrix product with shared-memory tiles and ragged edges, against f64.
#ifdef __CUDACC__
extern "C" __global__ void matmul(const float* a, const float* b, float* c, int m, int n, int k) {
  __shared__ float left[16][16], right[16][16];
  const int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
  float sum = 0;
  for (int base = 0; base < k; base += 16) {
    left[threadIdx.y][threadIdx.x] = row < m && base + threadIdx.x < k ? a[row * k + base + threadIdx.x] : 0;
    right[threadIdx.y][threadIdx.x] = column < n && base + threadIdx.y < k ? b[(base + threadIdx.y) * n + column] : 0;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 16; ++i) sum = fmaf(left[threadIdx.y][i], right[i][threadIdx.x], sum);
    __syncthreads();
  }
  if (row < m && column < n) c[row * n + column] = sum;
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int m = 45, n = 37, k = 50;
  const auto a = harness::randomFloats(m * k, -1, 1, 1), b = harness::randomFloats(k * n, -1, 1, 2);
  harness::Buffer<float> left(a), right(b), out(m * n);
  harness::Launch{program.kernel("matmul"), {3, 3}, {16, 16}}(left, right, out, m, n, k);
  const auto result = out.download();
  harness::Report report;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int p = 0; p < k; ++p) sum += double(a[i * k + p]) * b[p * n + j];
      report.near(result[i * n + j], sum, 2e-6, "c", i * n + j);
    }
  return report.finish();
}
#endif
