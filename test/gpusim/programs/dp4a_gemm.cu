// SPDX-License-Identifier: Apache-2.0
// int8 matrix product with dp4a, and quantisation of float rows to int8 with a scale.
#ifdef __CUDACC__
extern "C" __global__ void quantise(const float* in, char4* out, float* scales, int columns) {
  const int row = blockIdx.x, lane = threadIdx.x;
  float largest = 0;
  for (int i = lane; i < columns; i += 32) largest = fmaxf(largest, fabsf(in[row * columns + i]));
  for (int offset = 16; offset > 0; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, offset));
  const float scale = largest / 127;
  for (int i = lane; i < columns / 4; i += 32) {
    const float4 v = reinterpret_cast<const float4*>(in + row * columns)[i];
    out[row * columns / 4 + i] = make_char4(__float2int_rn(v.x / scale), __float2int_rn(v.y / scale),
                                            __float2int_rn(v.z / scale), __float2int_rn(v.w / scale));
  }
  if (lane == 0) scales[row] = scale;
}

extern "C" __global__ void multiply(const int* a, const int* b, const float* scalesA, const float* scalesB, float* c,
                                    int n, int words) {
  const int row = blockIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= n) return;
  int sum = 0;
  for (int i = 0; i < words; ++i) sum = __dp4a(a[row * words + i], b[column * words + i], sum);
  c[row * n + column] = sum * (scalesA[row] * scalesB[column]);
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int m = 10, n = 40, k = 96;
  const auto a = harness::randomFloats(m * k, -1, 1, 1), b = harness::randomFloats(n * k, -1, 1, 2);
  harness::Buffer<float> floatA(a), floatB(b), scaleA(m), scaleB(n), out(m * n);
  harness::Buffer<int> byteA(m * k / 4), byteB(n * k / 4);
  harness::Launch{program.kernel("quantise"), {m}, {32}}(floatA, byteA, scaleA, k);
  harness::Launch{program.kernel("quantise"), {n}, {32}}(floatB, byteB, scaleB, k);
  harness::Launch{program.kernel("multiply"), {2, m}, {32}}(byteA, byteB, scaleA, scaleB, out, n, k / 4);
  const auto c = out.download(), sa = scaleA.download(), sb = scaleB.download();
  const auto wordsA = byteA.download(), wordsB = byteB.download();
  const auto* bytesA = reinterpret_cast<const signed char*>(wordsA.data());
  const auto* bytesB = reinterpret_cast<const signed char*>(wordsB.data());
  harness::Report report;
  for (int i = 0; i < m * k; ++i) report.near(bytesA[i] * sa[i / k], a[i], sa[i / k] * 0.5001, "quantised", i);
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      int sum = 0;
      for (int p = 0; p < k; ++p) sum += bytesA[i * k + p] * bytesB[j * k + p];
      report.near(c[i * n + j], double(sum) * sa[i] * sb[j], 1e-5, "c", i * n + j);
    }
  return report.finish();
}
#endif
