// SPDX-License-Identifier: Apache-2.0
// A 5-point stencil with halos in shared memory, iterated by ping-pong buffers.
#ifdef __CUDACC__
extern "C" __global__ void step(const float* __restrict__ in, float* __restrict__ out, int width, int height) {
  __shared__ float tile[10][34];
  const int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y;
  const auto at = [&](int u, int v) {
    return u >= 0 && u < width && v >= 0 && v < height ? __ldg(in + v * width + u) : 0.0f;
  };
  const int cx = threadIdx.x + 1, cy = threadIdx.y + 1;
  tile[cy][cx] = at(x, y);
  if (threadIdx.x == 0) tile[cy][0] = at(x - 1, y);
  if (threadIdx.x == 31) tile[cy][33] = at(x + 1, y);
  if (threadIdx.y == 0) tile[0][cx] = at(x, y - 1);
  if (threadIdx.y == 7) tile[9][cx] = at(x, y + 1);
  __syncthreads();
  if (x < width && y < height)
    out[y * width + x] =
        0.5f * tile[cy][cx] + 0.125f * (tile[cy][cx - 1] + tile[cy][cx + 1] + tile[cy - 1][cx] + tile[cy + 1][cx]);
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int width = 75, height = 30;
  std::vector<float> values = harness::randomFloats(width * height);
  harness::Buffer<float> a(values), b(values.size());
  std::vector<double> now(values.begin(), values.end());
  for (int i = 0; i < 4; ++i) {
    harness::Launch{program.kernel("step"), {3, 4}, {32, 8}}(i % 2 ? b : a, i % 2 ? a : b, width, height);
    std::vector<double> next(now.size());
    const auto at = [&](int x, int y) {
      return x >= 0 && x < width && y >= 0 && y < height ? now[y * width + x] : 0.0;
    };
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        next[y * width + x] = 0.5 * at(x, y) + 0.125 * (at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1));
    now = next;
  }
  harness::Report report;
  const auto result = a.download();
  for (size_t i = 0; i < now.size(); ++i) report.near(result[i], now[i], 1e-6, "cell", i);
  return report.finish();
}
#endif
