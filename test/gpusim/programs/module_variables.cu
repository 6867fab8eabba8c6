// SPDX-License-Identifier: Apache-2.0
// Constant memory, initialised and uninitialised globals and managed by name from the host; state lives across
// launches.
#ifdef __CUDACC__
__constant__ float coefficients[4] = {1, 2, 3, 4};
__device__ int counter = 100;
__device__ float table[64];
__device__ const float* pointer = table + 3;

extern "C" __global__ void evaluate(const float* x, float* out) {
  const int i = threadIdx.x;
  float y = 0;
  for (int j = 3; j >= 0; --j) y = y * x[i] + coefficients[j];
  out[i] = y;
  table[i] = y * 2;
  if (i == 0) ++counter;
}
extern "C" __global__ void follow(float* out) { *out = *pointer; }
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  CUdeviceptr coefficients, counter, table;
  size_t size;
  CU(cuModuleGetGlobal(&coefficients, &size, program.module, "coefficients"));
  report.equal(size, size_t(16), "size of coefficients");
  CU(cuModuleGetGlobal(&counter, &size, program.module, "counter"));
  CU(cuModuleGetGlobal(&table, &size, program.module, "table"));
  report.equal(size, size_t(256), "size of table");
  report.equal(int(cuModuleGetGlobal(&table, &size, program.module, "nowhere")), int(CUDA_ERROR_NOT_FOUND),
               "unknown global");
  const auto x = harness::randomFloats(64, -2, 2);
  harness::Buffer<float> in(x), out(64), one(1);
  std::vector<float> c = {1, 2, 3, 4};
  for (int round = 0; round < 2; ++round) {
    harness::Launch{program.kernel("evaluate"), {1}, {64}}(in, out);
    const auto y = out.download();
    for (int i = 0; i < 64; ++i)
      report.near(y[i], c[0] + double(x[i]) * (c[1] + double(x[i]) * (c[2] + double(x[i]) * c[3])), 1e-4, "polynomial",
                  i);
    float stored[64];
    CU(cuMemcpyDtoH(stored, table, sizeof stored));
    report.equal(stored[9], y[9] * 2, "table");
    harness::Launch{program.kernel("follow"), {1}, {1}}(one);
    report.equal(one.download()[0], stored[3], "initialised pointer");
    c = {5, -1, 0.5f, 2};
    CU(cuMemcpyHtoD(coefficients, c.data(), 16));
  }
  int count = 0;
  CU(cuMemcpyDtoH(&count, counter, 4));
  report.equal(count, 102, "counter");
  return report.finish();
}
#endif
