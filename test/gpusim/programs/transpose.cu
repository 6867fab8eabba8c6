// SPDX-License-Identifier: Apache-2.0
// Matrix transpose: straight, through shared memory, and with a padded tile.
#ifdef __CUDACC__
extern "C" __global__ void straight(const float* in, float* out, int rows, int columns) {
  const int x = blockIdx.x * 32 + threadIdx.x;
  for (int y = blockIdx.y * 32 + threadIdx.y; y < min(rows, int(blockIdx.y) * 32 + 32); y += 8) {
    if (x < columns) out[x * rows + y] = in[y * columns + x];
  }
}

template <int kPitch>
__device__ void tiled(const float* in, float* out, int rows, int columns) {
  __shared__ float tile[32][kPitch];
  const int x = blockIdx.x * 32 + threadIdx.x, y0 = blockIdx.y * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (x < columns && y0 + j < rows) tile[threadIdx.y + j][threadIdx.x] = in[(y0 + j) * columns + x];
  __syncthreads();
  const int u = blockIdx.y * 32 + threadIdx.x, v0 = blockIdx.x * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (u < rows && v0 + j < columns) out[(v0 + j) * rows + u] = tile[threadIdx.x][threadIdx.y + j];
}
extern "C" __global__ void shared(const float* in, float* out, int rows, int columns) {
  tiled<32>(in, out, rows, columns);
}
extern "C" __global__ void padded(const float* in, float* out, int rows, int columns) {
  tiled<33>(in, out, rows, columns);
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int rows = 70, columns = 101;
  const auto values = harness::randomFloats(rows * columns);
  std::vector<float> expected(values.size());
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) expected[j * rows + i] = values[i * columns + j];
  harness::Buffer<float> in(values), out(values.size());
  harness::Report report;
  for (const char* name : {"straight", "shared", "padded"}) {
    harness::Launch{program.kernel(name), {4, 3}, {32, 8}}(in, out, rows, columns);
    report.equal(out.download(), expected, name);
  }
  return report.finish();
}
#endif
