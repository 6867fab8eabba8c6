// SPDX-License-Identifier: Apache-2.0
// Grid-wide synchronisation in a cooperative launch: Jacobi steps with a barrier of the whole grid between them.
#ifdef __CUDACC__
#include <cooperative_groups.h>
namespace cg = cooperative_groups;

extern "C" __global__ void relax(float* x, float* y, int n, int steps) {
  const cg::grid_group grid = cg::this_grid();
  for (int step = 0; step < steps; ++step) {
    for (int i = grid.thread_rank(); i < n; i += grid.size()) {
      const float left = i > 0 ? x[i - 1] : 0, right = i + 1 < n ? x[i + 1] : 0;
      y[i] = 0.5f * x[i] + 0.25f * (left + right);
    }
    grid.sync();
    float* const swap = x;
    x = y;
    y = swap;
  }
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 1000, steps = 6;
  auto values = harness::randomFloats(n);
  harness::Buffer<float> x(values), y(n);
  harness::Report report;
  report.equal(program.attribute(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH), 1, "cooperative launch attribute");
  harness::Launch{program.kernel("relax"), {4}, {64}}.cooperative(x, y, n, steps);
  const auto result = x.download();
  for (int step = 0; step < steps; ++step) {
    std::vector<float> next(n);
    for (int i = 0; i < n; ++i) {
      const float left = i > 0 ? values[i - 1] : 0, right = i + 1 < n ? values[i + 1] : 0;
      next[i] = 0.5f * values[i] + 0.25f * (left + right);
    }
    values = next;
  }
  for (int i = 0; i < n; ++i) report.near(result[i], values[i], 1e-6, "x", i);
  // A cooperative grid that cannot be resident is refused.
  CUdeviceptr from = x.pointer(), to = y.pointer();
  int length = n, rounds = steps;
  void* args[] = {&from, &to, &length, &rounds};
  const CUresult refused =
      cuLaunchCooperativeKernel(program.kernel("relax"), 1 << 20, 1, 1, 64, 1, 1, 0, nullptr, args);
  report.equal(int(refused), int(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE), "oversized cooperative launch");
  return report.finish();
}
#endif
