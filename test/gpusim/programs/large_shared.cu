// SPDX-License-Identifier: Apache-2.0
// Dynamic shared memory above 48 KiB: refused until the kernel's limit is raised, then usable to its last byte.
#ifdef __CUDACC__
extern "C" __global__ void rotate(const int* in, int* out, int n) {
  extern __shared__ int cells[];
  for (int i = threadIdx.x; i < n; i += blockDim.x) cells[i] = in[i];
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = cells[(i + 12345) % n];
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const int limit = program.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  const int usual = program.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
  report.equal(usual, 48 * 1024, "default limit");
  report.is(limit > usual, "opt-in limit above the default");
  const int n = limit / 4;
  const auto values = harness::randomIntegers<int>(n, -9, 9);
  harness::Buffer<int> in(values), out(n);
  const CUfunction kernel = program.kernel("rotate");
  CUdeviceptr a = in.pointer(), b = out.pointer();
  int count = n;
  void* args[] = {&a, &b, &count};
  report.equal(int(cuLaunchKernel(kernel, 1, 1, 1, 256, 1, 1, limit, nullptr, args, nullptr)),
               int(CUDA_ERROR_INVALID_VALUE), "launch without opting in");
  report.equal(int(cuFuncSetAttribute(kernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, limit + 1)),
               int(CUDA_ERROR_INVALID_VALUE), "limit beyond the device's");
  CU(cuFuncSetAttribute(kernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, limit));
  int set = 0;
  CU(cuFuncGetAttribute(&set, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, kernel));
  report.equal(set, limit, "attribute");
  harness::Launch{kernel, {1}, {256}, unsigned(limit)}(in, out, n);
  const auto result = out.download();
  for (int i = 0; i < n; ++i) report.equal(result[i], values[(i + 12345) % n], "rotated", i);
  return report.finish();
}
#endif
