// SPDX-License-Identifier: Apache-2.0
// Layer norm with Welford's mean and variance merged by warp shuffles, vector loads of float4.
#ifdef __CUDACC__
extern "C" __global__ void layerNorm(const float4* in, const float4* gain, const float4* bias, float4* out, int quads,
                                     float epsilon) {
  const int row = blockIdx.x, lane = threadIdx.x;
  float count = 0, mean = 0, m2 = 0;
  const auto add = [&](float x) {
    count += 1;
    const float delta = x - mean;
    mean += delta / count;
    m2 += delta * (x - mean);
  };
  for (int i = lane; i < quads; i += 32) {
    const float4 v = in[row * quads + i];
    add(v.x), add(v.y), add(v.z), add(v.w);
  }
  for (int offset = 16; offset > 0; offset /= 2) {
    const float otherCount = __shfl_xor_sync(~0u, count, offset), otherMean = __shfl_xor_sync(~0u, mean, offset);
    const float otherM2 = __shfl_xor_sync(~0u, m2, offset);
    const float total = count + otherCount, delta = otherMean - mean;
    if (total > 0) {
      m2 += otherM2 + delta * delta * count * otherCount / total;
      mean = (count * mean + otherCount * otherMean) / total;
    }
    count = total;
  }
  const float scale = rsqrtf(m2 / count + epsilon);
  for (int i = lane; i < quads; i += 32) {
    const float4 v = in[row * quads + i], g = gain[i], b = bias[i];
    out[row * quads + i] = make_float4((v.x - mean) * scale * g.x + b.x, (v.y - mean) * scale * g.y + b.y,
                                       (v.z - mean) * scale * g.z + b.z, (v.w - mean) * scale * g.w + b.w);
  }
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int rows = 9, columns = 300;
  const float epsilon = 1e-5f;
  const auto x = harness::randomFloats(rows * columns, -3, 5, 1), gain = harness::randomFloats(columns, 0, 2, 2),
             bias = harness::randomFloats(columns, -1, 1, 3);
  harness::Buffer<float> in(x), g(gain), b(bias), out(x.size());
  harness::Launch{program.kernel("layerNorm"), {rows}, {32}}(in, g, b, out, columns / 4, epsilon);
  const auto result = out.download();
  harness::Report report;
  for (int row = 0; row < rows; ++row) {
    double mean = 0, variance = 0;
    for (int i = 0; i < columns; ++i) mean += x[row * columns + i] / double(columns);
    for (int i = 0; i < columns; ++i) variance += std::pow(x[row * columns + i] - mean, 2) / columns;
    for (int i = 0; i < columns; ++i)
      report.near(result[row * columns + i],
                  (x[row * columns + i] - mean) / std::sqrt(variance + epsilon) * gain[i] + bias[i], 1e-5, "y",
                  row * columns + i);
  }
  return report.finish();
}
#endif
