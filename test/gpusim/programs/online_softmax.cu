// SPDX-License-Identifier: Apache-2.0
// Softmax of rows in one pass for maximum and sum (online rescaling), one warp a row, with rows of -inf.
#ifdef __CUDACC__
struct State {
  float maximum, sum;
};

__device__ State merge(State a, State b) {
  const float maximum = fmaxf(a.maximum, b.maximum);
  if (maximum == -INFINITY) return {maximum, 0};
  return {maximum, a.sum * __expf(a.maximum - maximum) + b.sum * __expf(b.maximum - maximum)};
}

extern "C" __global__ void softmax(const float* in, float* out, int columns) {
  const int row = blockIdx.x * blockDim.y + threadIdx.y;
  State state{-INFINITY, 0};
  for (int i = threadIdx.x; i < columns; i += 32) state = merge(state, {in[row * columns + i], 1});
  for (int offset = 16; offset > 0; offset /= 2)
    state = merge(state, {__shfl_xor_sync(~0u, state.maximum, offset), __shfl_xor_sync(~0u, state.sum, offset)});
  for (int i = threadIdx.x; i < columns; i += 32)
    out[row * columns + i] = state.sum > 0 ? __expf(in[row * columns + i] - state.maximum) / state.sum : 0;
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int rows = 12, columns = 203;
  auto values = harness::randomFloats(rows * columns, -20, 20);
  for (int i = 0; i < columns; ++i) values[3 * columns + i] = -INFINITY;
  for (int i = 0; i < columns; i += 2) values[4 * columns + i] = -INFINITY;
  harness::Buffer<float> in(values), out(values.size());
  harness::Launch{program.kernel("softmax"), {rows / 4}, {32, 4}}(in, out, columns);
  const auto result = out.download();
  harness::Report report;
  for (int row = 0; row < rows; ++row) {
    double sum = 0, maximum = -INFINITY;
    for (int i = 0; i < columns; ++i) maximum = std::max(maximum, double(values[row * columns + i]));
    for (int i = 0; i < columns; ++i) sum += maximum == -INFINITY ? 0 : std::exp(values[row * columns + i] - maximum);
    for (int i = 0; i < columns; ++i) {
      const double expected = sum > 0 ? std::exp(values[row * columns + i] - maximum) / sum : 0;
      report.near(result[row * columns + i], expected, 2e-6, "p", row * columns + i);
    }
  }
  return report.finish();
}
#endif
