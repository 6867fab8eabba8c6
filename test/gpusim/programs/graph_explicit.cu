// SPDX-License-Identifier: Apache-2.0
// A graph built node by node (memset, copies, kernel, host function), and a kernel node whose parameters are replaced.
#ifdef __CUDACC__
extern "C" __global__ void addTo(int* x, int n, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += value + i;
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const int n = 200;
  harness::Buffer<int> x(n);
  std::vector<int> host(n);
  int calls = 0;
  CUgraph graph;
  CU(cuGraphCreate(&graph, 0));

  CUDA_MEMSET_NODE_PARAMS set = {};
  set.dst = x.pointer();
  set.value = 7;
  set.elementSize = 4;
  set.width = n;
  set.height = 1;
  CUgraphNode setNode, kernelNode, copyNode, hostNode;
  CU(cuGraphAddMemsetNode(&setNode, graph, nullptr, 0, &set, program.context));

  CUdeviceptr pointer = x.pointer();
  int count = n, value = 100;
  void* args[] = {&pointer, &count, &value};
  CUDA_KERNEL_NODE_PARAMS kernel = {};
  kernel.func = program.kernel("addTo");
  kernel.gridDimX = 2;
  kernel.gridDimY = kernel.gridDimZ = 1;
  kernel.blockDimX = 128;
  kernel.blockDimY = kernel.blockDimZ = 1;
  kernel.kernelParams = args;
  CU(cuGraphAddKernelNode(&kernelNode, graph, &setNode, 1, &kernel));

  CUDA_MEMCPY3D copy = {};
  copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = x.pointer();
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = host.data();
  copy.WidthInBytes = n * sizeof(int);
  copy.Height = copy.Depth = 1;
  CU(cuGraphAddMemcpyNode(&copyNode, graph, &kernelNode, 1, &copy, program.context));

  CUDA_HOST_NODE_PARAMS call = {};
  call.fn = [](void* data) { ++*static_cast<int*>(data); };
  call.userData = &calls;
  CU(cuGraphAddHostNode(&hostNode, graph, &copyNode, 1, &call));

  CUgraphExec exec;
  CU(cuGraphInstantiate(&exec, graph, 0));
  value = -1;  // Parameters were copied when the node was added.
  CUstream stream;
  CU(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  for (const int expected : {100, 5}) {
    if (expected == 5) {
      value = 5;
      CU(cuGraphExecKernelNodeSetParams(exec, kernelNode, &kernel));
    }
    CU(cuGraphLaunch(exec, stream));
    CU(cuGraphLaunch(exec, stream));
    CU(cuStreamSynchronize(stream));
    for (int i = 0; i < n; ++i) report.equal(host[i], 7 + expected + i, "x", i);
  }
  report.equal(calls, 4, "host calls");
  CU(cuStreamDestroy(stream));
  CU(cuGraphExecDestroy(exec));
  CU(cuGraphDestroy(graph));
  return report.finish();
}
#endif
