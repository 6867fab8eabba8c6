// SPDX-License-Identifier: Apache-2.0
// A captured stream with a fork and a join, replayed with new data, and updated in place from a second capture.
#ifdef __CUDACC__
extern "C" __global__ void scale(const float* in, float* out, int n, float factor) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = in[i] * factor;
}
extern "C" __global__ void add(const float* a, const float* b, float* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = a[i] + b[i];
}
#else
#include "harness.h"

int main(int, char** argv) {
  harness::Program program(argv[0]);
  harness::Report report;
  const int n = 300;
  CUstream main, side;
  CU(cuStreamCreate(&main, CU_STREAM_NON_BLOCKING));
  CU(cuStreamCreate(&side, CU_STREAM_NON_BLOCKING));
  CUevent fork, join;
  CU(cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
  CU(cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
  harness::Buffer<float> in(n), left(n), right(n), out(n);
  const auto capture = [&](float factor) {
    CUgraph graph;
    CU(cuStreamBeginCapture(main, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    CU(cuEventRecord(fork, main));
    CU(cuStreamWaitEvent(side, fork, 0));
    harness::Launch{program.kernel("scale"), {3}, {128}, 0, main}(in, left, n, factor);
    harness::Launch{program.kernel("scale"), {3}, {128}, 0, side}(in, right, n, factor + 1);
    CU(cuEventRecord(join, side));
    CU(cuStreamWaitEvent(main, join, 0));
    harness::Launch{program.kernel("add"), {3}, {128}, 0, main}(left, right, out, n);
    CUstreamCaptureStatus status;
    CU(cuStreamIsCapturing(main, &status));
    report.equal(int(status), int(CU_STREAM_CAPTURE_STATUS_ACTIVE), "capture status");
    CU(cuStreamEndCapture(main, &graph));
    return graph;
  };
  out.clear();
  CU(cuCtxSynchronize());
  CUgraph graph = capture(2);
  report.equal(out.download()[5], 0.0f, "nothing runs during capture");
  size_t nodes = 0;
  CU(cuGraphGetNodes(graph, nullptr, &nodes));
  report.equal(nodes, size_t(3), "nodes");
  CUgraphExec exec;
  CU(cuGraphInstantiate(&exec, graph, 0));
  float total = 5;
  for (int round = 0; round < 4; ++round) {
    if (round == 2) {
      CUgraph changed = capture(10);
      CUgraphExecUpdateResultInfo info;
      CU(cuGraphExecUpdate(exec, changed, &info));
      report.equal(int(info.result), int(CU_GRAPH_EXEC_UPDATE_SUCCESS), "update");
      CU(cuGraphDestroy(changed));
      total = 21;
    }
    const auto values = harness::randomFloats(n, -1, 1, round);
    in.upload(values);
    CU(cuCtxSynchronize());
    CU(cuGraphLaunch(exec, main));
    CU(cuStreamSynchronize(main));
    const auto result = out.download();
    for (int i = 0; i < n; ++i) report.near(result[i], double(values[i]) * total, 1e-5, "out", i);
  }
  CU(cuGraphExecDestroy(exec));
  CU(cuGraphDestroy(graph));
  for (CUevent event : {fork, join}) CU(cuEventDestroy(event));
  for (CUstream stream : {main, side}) CU(cuStreamDestroy(stream));
  return report.finish();
}
#endif
