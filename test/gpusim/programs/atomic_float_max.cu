// SPDX-License-Identifier: Apache-2.0
// Maximum of floats by compare-and-swap, by ordered integers, and half2 and double atomics.
#ifdef __CUDACC__
#include <cuda_fp16.h>

extern "C" __global__ void largest(const float* in, float* byCas, int* byOrder, double* total, half2* pair, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    const float value = in[i];
    int* const cell = reinterpret_cast<int*>(byCas);
    int old = *(volatile int*)cell;
    while (__int_as_float(old) < value) {
      const int seen = atomicCAS(cell, old, __float_as_int(value));
      if (seen == old) break;
      old = seen;
    }
    const int bits = __float_as_int(value);
    atomicMax(byOrder, bits >= 0 ? bits : bits ^ 0x7fffffff);
    atomicAdd(total, double(value));
    if (i < 512) atomicAdd(pair, __halves2half2(__float2half(1), __float2half(2)));
  }
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  for (const float shift : {0.0f, -100.0f}) {
    auto values = harness::randomFloats(3000, -50, 50);
    double sum = 0;
    for (float& value : values) sum += (value += shift);
    harness::Buffer<float> in(values), byCas(std::vector<float>{-INFINITY});
    harness::Buffer<int> byOrder(std::vector<int>{INT32_MIN});
    harness::Buffer<double> total(std::vector<double>{0});
    harness::Buffer<uint16_t> pair(std::vector<uint16_t>{0, 0});
    harness::Launch{program.kernel("largest"), {5}, {96}}(in, byCas, byOrder, total, pair, int(values.size()));
    const float expected = *std::max_element(values.begin(), values.end());
    report.equal(byCas.download()[0], expected, "compare and swap");
    int bits = byOrder.download()[0];
    bits = bits >= 0 ? bits : bits ^ 0x7fffffff;
    float ordered;
    __builtin_memcpy(&ordered, &bits, 4);
    report.equal(ordered, expected, "ordered integers");
    report.near(total.download()[0], sum, 1e-6, "double sum");
    report.equal(harness::fromHalf(pair.download()[0]), 512.0f, "half2 low");
    report.equal(harness::fromHalf(pair.download()[1]), 1024.0f, "half2 high");
  }
  return report.finish();
}
#endif
