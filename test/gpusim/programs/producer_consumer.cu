// SPDX-License-Identifier: Apache-2.0
// One block hands data to another through a flag: __threadfence with volatile, and ld.acquire with st.release.
#ifdef __CUDACC__
extern "C" __global__ void fence(int* data, int* flag, int* out) {
  if (blockIdx.x == 0) {
    data[threadIdx.x] = threadIdx.x * 5 + 1;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) *(volatile int*)flag = 1;
  } else {
    if (threadIdx.x == 0)
      while (*(volatile int*)flag == 0) {
      }
    __syncthreads();
    __threadfence();
    out[threadIdx.x] = ((volatile int*)data)[threadIdx.x ^ 1];
  }
}

extern "C" __global__ void release(int* data, int* flag, int* out) {
  if (blockIdx.x == gridDim.x - 1) {
    data[threadIdx.x] = threadIdx.x * 7 + 2;
    __syncthreads();
    if (threadIdx.x == 0) asm volatile("st.release.gpu.global.s32 [%0], 1;" ::"l"(flag) : "memory");
  } else {
    if (threadIdx.x == 0) {
      int seen;
      do asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
      while (seen == 0);
    }
    __syncthreads();
    out[threadIdx.x] = data[threadIdx.x ^ 1];
  }
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  const int n = 64;
  harness::Report report;
  for (const char* name : {"fence", "release"}) {
    harness::Buffer<int> data(n), flag(std::vector<int>{0}), out(n);
    harness::Launch{program.kernel(name), {2}, {n}}(data, flag, out);
    const auto result = out.download();
    for (int i = 0; i < n; ++i)
      report.equal(result[i], std::string(name) == "fence" ? (i ^ 1) * 5 + 1 : (i ^ 1) * 7 + 2, name, i);
  }
  return report.finish();
}
#endif
