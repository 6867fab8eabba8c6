// SPDX-License-Identifier: Apache-2.0
// cuLaunchKernelEx with attributes (cooperative, priority, programmatic dependent launch), packed parameter buffers.
#ifdef __CUDACC__
#include <cooperative_groups.h>

struct Triple {
  char tag;
  double value;
  short extra[3];
};

extern "C" __global__ void unpack(char a, Triple t, int b, double* out) {
  out[0] = a;
  out[1] = t.tag;
  out[2] = t.value;
  out[3] = t.extra[2];
  out[4] = b;
}
extern "C" __global__ void together(int* counter) {
  atomicAdd(counter, 1);
  cooperative_groups::this_grid().sync();
  if (threadIdx.x == 0) counter[1 + blockIdx.x] = *(volatile int*)counter;
}
#else
#include "harness.h"

struct Triple {
  char tag;
  double value;
  short extra[3];
};

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  harness::Buffer<double> out(5);
  struct __attribute__((aligned(8))) {
    char a;
    Triple t;
    int b;
    CUdeviceptr out;
  } packed = {9, {'x', 2.5, {1, 2, -3}}, -77, out.pointer()};
  size_t size = sizeof packed;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &size, CU_LAUNCH_PARAM_END};
  CUlaunchConfig config = {};
  config.gridDimX = config.gridDimY = config.gridDimZ = config.blockDimX = config.blockDimY = config.blockDimZ = 1;
  CU(cuLaunchKernelEx(&config, program.kernel("unpack"), nullptr, extra));
  report.equal(out.download(), std::vector<double>{9, 'x', 2.5, -3, -77}, "parameter");
  size_t offset = 0, bytes = 0;
  CU(cuFuncGetParamInfo(program.kernel("unpack"), 1, &offset, &bytes));
  report.equal(offset, size_t(8), "parameter offset");
  report.equal(bytes, sizeof(Triple), "parameter size");

  const unsigned blocks = 4;
  harness::Buffer<int> counter(1 + blocks);
  counter.clear();
  CUlaunchAttribute attributes[2] = {};
  attributes[0].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  attributes[0].value.cooperative = 1;
  attributes[1].id = CU_LAUNCH_ATTRIBUTE_PRIORITY;
  attributes[1].value.priority = 0;
  config.gridDimX = blocks;
  config.blockDimX = 64;
  config.attrs = attributes;
  config.numAttrs = 2;
  CUdeviceptr pointer = counter.pointer();
  void* args[] = {&pointer};
  CU(cuLaunchKernelEx(&config, program.kernel("together"), args, nullptr));
  report.equal(counter.download(), std::vector<int>(1 + blocks, int(blocks) * 64), "counter");
  return report.finish();
}
#endif
