// SPDX-License-Identifier: Apache-2.0
// Occupancy queries and function attributes agree with the device's limits.
#ifdef __CUDACC__
extern "C" __global__ void __launch_bounds__(256) kernel(float* x) {
  extern __shared__ float dynamic[];
  __shared__ float fixed[1000];
  dynamic[threadIdx.x] = x[threadIdx.x];
  fixed[threadIdx.x] = x[threadIdx.x] + 1;
  __syncthreads();
  x[threadIdx.x] = dynamic[255 - threadIdx.x] + fixed[255 - threadIdx.x];
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const CUfunction kernel = program.kernel("kernel");
  int value = 0;
  CU(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, kernel));
  report.equal(value, 4000, "static shared memory");
  CU(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel));
  report.equal(value, 256, "threads per block");
  CU(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_PTX_VERSION, kernel));
  report.equal(value, 80, "PTX version");
  CU(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, kernel));
  report.is(value > 0 && value <= 255, "registers");

  const int threads = program.attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR);
  const int shared = program.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
  const int reserved = program.attribute(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK);
  const int most = program.attribute(CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR);
  for (const int block : {32, 128, 256}) {
    int blocks = 0;
    CU(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, block, block * 4));
    report.is(blocks >= 1 && blocks <= std::min(most, threads / block), "blocks within the thread limit");
    report.is(blocks * (4000 + block * 4 + reserved) <= shared + 1024, "blocks within shared memory");
    report.is(blocks == std::min({most, threads / block, shared / ((4000 + block * 4 + reserved + 127) / 128 * 128)}) ||
                  value > 32,
              "no fewer blocks than the limits allow");
  }
  int grid = 0, block = 0;
  CU(cuOccupancyMaxPotentialBlockSize(
      &grid, &block, kernel, [](int size) { return size_t(size) * 4; }, 0, 0));
  report.is(block >= 32 && block <= 256 && block % 32 == 0, "suggested block");
  report.is(grid >= program.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), "suggested grid");

  auto values = harness::randomFloats(256);
  harness::Buffer<float> x(values);
  harness::Launch{kernel, {1}, {256}, 1024}(x);
  const auto result = x.download();
  for (int i = 0; i < 256; ++i) report.equal(result[i], values[255 - i] + (values[255 - i] + 1), "x", i);
  CUdeviceptr pointer = x.pointer();
  void* args[] = {&pointer};
  report.equal(int(cuLaunchKernel(kernel, 1, 1, 1, 512, 1, 1, 0, nullptr, args, nullptr)),
               int(CUDA_ERROR_INVALID_VALUE), "block above the launch bounds");
  return report.finish();
}
#endif
