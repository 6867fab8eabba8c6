// SPDX-License-Identifier: Apache-2.0
// Block reductions with warp shuffles: exact integer sums, and float sums against f64.
#ifdef __CUDACC__
template <typename T>
__device__ T warpSum(T value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffff, value, offset);
  return value;
}

template <typename T>
__device__ void blockSum(const T* in, T* out, int n) {
  __shared__ T partial[32];
  T sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += in[i];
  sum = warpSum(sum);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : T(0);
    sum = warpSum(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
  }
}
extern "C" __global__ void sumFloat(const float* in, float* out, int n) { blockSum(in, out, n); }
extern "C" __global__ void sumDouble(const double* in, double* out, int n) { blockSum(in, out, n); }
extern "C" __global__ void sumLong(const long long* in, long long* out, int n) { blockSum(in, out, n); }
#else
#include "harness.h"

template <typename T>
void run(harness::Program& program, const char* name, const std::vector<T>& values, double tolerance,
         harness::Report& report) {
  harness::Buffer<T> in(values), out(7);
  harness::Launch{program.kernel(name), {7}, {192}}(in, out, int(values.size()));
  double sum = 0, expected = 0;
  for (const T partial : out.download()) sum += double(partial);
  for (const T value : values) expected += double(value);
  report.near(sum, expected, tolerance, name);
}

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const auto floats = harness::randomFloats(9001);
  run(program, "sumFloat", floats, 1e-3, report);
  run(program, "sumDouble", std::vector<double>(floats.begin(), floats.end()), 1e-10, report);
  run(program, "sumLong", harness::randomIntegers<long long>(9001, -(1ll << 38), 1ll << 38), 0, report);
  return report.finish();
}
#endif
