// SPDX-License-Identifier: Apache-2.0
// Two kernels that wait for each other, so that neither ends unless both run at a time: in two streams, and as parallel
// branches of a graph. And a kernel that waits for the host.
#ifdef __CUDACC__
__device__ int waitFor(volatile int* flag) {
  while (*flag == 0) {
  }
  __threadfence_system();
  return *flag;
}
extern "C" __global__ void exchange(volatile int* mine, volatile int* other, int* out, int value) {
  *mine = value;
  __threadfence();
  *out = waitFor(other);
}
extern "C" __global__ void await(volatile int* flag, int* out) { *out = waitFor(flag); }
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const CUfunction exchange = program.kernel("exchange");
  harness::Buffer<int> flags(2), out(3);
  CUdeviceptr at[] = {flags.pointer(), flags.pointer() + 4};
  CUdeviceptr results[] = {out.pointer(), out.pointer() + 4, out.pointer() + 8};
  CUstream streams[2];
  for (CUstream& stream : streams) CU(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));

  flags.clear();
  CU(cuCtxSynchronize());  // the streams do not wait for the default one
  for (int i : {0, 1}) harness::Launch{exchange, {1}, {1}, 0, streams[i]}(at[i], at[1 - i], results[i], 10 + i);
  CU(cuCtxSynchronize());
  std::vector<int> got = out.download();
  report.equal(got[0], 11, "first stream");
  report.equal(got[1], 10, "second stream");

  CUgraph graph;
  CU(cuGraphCreate(&graph, 0));
  for (int i : {0, 1}) {
    int value = 20 + i;
    void* args[] = {&at[i], &at[1 - i], &results[i], &value};
    CUDA_KERNEL_NODE_PARAMS kernel = {};
    kernel.func = exchange;
    kernel.gridDimX = kernel.gridDimY = kernel.gridDimZ = 1;
    kernel.blockDimX = kernel.blockDimY = kernel.blockDimZ = 1;
    kernel.kernelParams = args;
    CUgraphNode node;
    CU(cuGraphAddKernelNode(&node, graph, nullptr, 0, &kernel));
  }
  CUgraphExec exec;
  CU(cuGraphInstantiate(&exec, graph, 0));
  flags.clear();
  CU(cuCtxSynchronize());
  CU(cuGraphLaunch(exec, streams[0]));
  CU(cuCtxSynchronize());
  got = out.download();
  report.equal(got[0], 21, "first branch");
  report.equal(got[1], 20, "second branch");

  int* flag;
  CU(cuMemHostAlloc(reinterpret_cast<void**>(&flag), sizeof(int), CU_MEMHOSTALLOC_DEVICEMAP));
  CUdeviceptr device;
  CU(cuMemHostGetDevicePointer(&device, flag, 0));
  *flag = 0;
  harness::Launch{program.kernel("await"), {1}, {1}, 0, streams[0]}(device, results[2]);
  report.equal(int(cuStreamQuery(streams[0])), int(CUDA_ERROR_NOT_READY), "waits for the host");
  __atomic_store_n(flag, 33, __ATOMIC_RELEASE);
  CU(cuCtxSynchronize());
  got = out.download();
  report.equal(got[2], 33, "the host's value");

  CU(cuMemFreeHost(flag));
  CU(cuGraphExecDestroy(exec));
  CU(cuGraphDestroy(graph));
  for (CUstream stream : streams) CU(cuStreamDestroy(stream));
  return report.finish();
}
#endif
