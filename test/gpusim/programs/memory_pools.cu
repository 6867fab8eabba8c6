// SPDX-License-Identifier: Apache-2.0
// Stream-ordered allocation: the device's default pool, a pool of one's own, its attributes, reuse and trimming.
#ifdef __CUDACC__
extern "C" __global__ void fill(int* x, int n, int value) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = value + i;
}
extern "C" __global__ void accumulate(const int* x, int* sum, int n) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(sum, x[i]);
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  CUstream stream;
  CU(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  const int n = 500;
  int expected = 0;
  harness::Buffer<int> sum(1);
  sum.clear();
  CU(cuCtxSynchronize());
  CUmemoryPool pool;
  CUmemPoolProps properties = {};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, {program.device}};
  CU(cuMemPoolCreate(&pool, &properties));
  cuuint64_t keep = 1 << 20;
  CU(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep));
  cuuint64_t read = 0;
  CU(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &read));
  report.equal(read, keep, "release threshold");
  for (int round = 0; round < 6; ++round) {
    CUdeviceptr block;
    if (round % 2)
      CU(cuMemAllocAsync(&block, n * sizeof(int), stream));
    else
      CU(cuMemAllocFromPoolAsync(&block, n * sizeof(int), pool, stream));
    harness::Launch{program.kernel("fill"), {1}, {64}, 0, stream}(block, n, round);
    harness::Launch{program.kernel("accumulate"), {1}, {64}, 0, stream}(block, sum, n);
    CU(cuMemFreeAsync(block, stream));
    for (int i = 0; i < n; ++i) expected += round + i;
  }
  CU(cuStreamSynchronize(stream));
  report.equal(sum.download()[0], expected, "sum");
  cuuint64_t used = 1;
  CU(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  report.equal(used, cuuint64_t(0), "used memory after the frees");
  CU(cuMemPoolTrimTo(pool, 0));
  CU(cuMemPoolDestroy(pool));
  CU(cuStreamDestroy(stream));
  return report.finish();
}
#endif
