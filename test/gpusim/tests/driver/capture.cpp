// SPDX-License-Identifier: Apache-2.0
// Stream capture: forks, joins, and what may not be done.
#include "unit.h"

namespace {

// a: 1, then b: 2 in parallel with nothing, then a: 3; captured as three kernels.
CUgraph captureForkAndJoin(unit::Fixture& f, CUstream a, CUstream b) {
  CUevent forked = nullptr, joined = nullptr;
  EXPECT_OK(cuEventCreate(&forked, CU_EVENT_DISABLE_TIMING));
  EXPECT_OK(cuEventCreate(&joined, CU_EVENT_DISABLE_TIMING));
  EXPECT_OK(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
  EXPECT_OK(f.step(a, 1));
  EXPECT_OK(cuEventRecord(forked, a));
  EXPECT_OK(cuStreamWaitEvent(b, forked, 0));
  EXPECT_OK(f.step(b, 2));
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  EXPECT_OK(cuStreamIsCapturing(b, &status));
  EXPECT(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  EXPECT_OK(cuEventRecord(joined, b));
  EXPECT_OK(cuStreamWaitEvent(a, joined, 0));
  EXPECT_OK(f.step(a, 3));
  CUgraph graph = nullptr;
  EXPECT_OK(cuStreamEndCapture(a, &graph));
  EXPECT_STATUS(cuEventQuery(forked), CUDA_ERROR_CAPTURED_EVENT);
  return graph;
}

unsigned applied(unsigned x, unsigned second = 2) { return ((x * 3 + 1) * 3 + second) * 3 + 3; }

}  // namespace

TEST(capture_records_forks_and_joins) {
  unit::Fixture f;
  const CUstream a = f.stream(), b = f.stream();
  const CUgraph graph = captureForkAndJoin(f, a, b);
  EXPECT(f.get() == 0);
  size_t nodes = 0, edges = 0, roots = 0;
  EXPECT_OK(cuGraphGetNodes(graph, nullptr, &nodes));
  EXPECT_OK(cuGraphGetEdges_v2(graph, nullptr, nullptr, nullptr, &edges));
  EXPECT_OK(cuGraphGetRootNodes(graph, nullptr, &roots));
  EXPECT(nodes == 3 && edges == 3 && roots == 1);
  CUgraphExec exec = nullptr;
  EXPECT_OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
  EXPECT_OK(cuGraphLaunch(exec, a));
  EXPECT_OK(cuGraphLaunch(exec, b));
  EXPECT_OK(cuCtxSynchronize());
  EXPECT(f.get() == applied(applied(0)));
  EXPECT_OK(cuGraphExecDestroy(exec));
  EXPECT_OK(cuGraphDestroy(graph));
}

TEST(captured_kernel_parameters_can_be_changed_in_the_executable) {
  unit::Fixture f;
  const CUstream a = f.stream(), b = f.stream();
  const CUgraph graph = captureForkAndJoin(f, a, b);
  CUgraphExec exec = nullptr;
  EXPECT_OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
  CUgraphNode nodes[3];
  size_t count = 3;
  EXPECT_OK(cuGraphGetNodes(graph, nodes, &count));
  CUDA_KERNEL_NODE_PARAMS params{};
  EXPECT_OK(cuGraphKernelNodeGetParams_v2(nodes[1], &params));
  EXPECT(*static_cast<unsigned*>(params.kernelParams[1]) == 2);
  unsigned nine = 9;
  void* arguments[] = {&f.word, &nine};
  params.kernelParams = arguments;
  EXPECT_OK(cuGraphExecKernelNodeSetParams_v2(exec, nodes[1], &params));
  EXPECT_OK(cuGraphLaunch(exec, a));
  EXPECT_OK(cuStreamSynchronize(a));
  EXPECT(f.get() == applied(0, 9));
  f.set(0);
  CUgraphExecUpdateResultInfo info{};
  EXPECT_OK(cuGraphExecUpdate_v2(exec, graph, &info));
  EXPECT_OK(cuGraphLaunch(exec, a));
  EXPECT_OK(cuStreamSynchronize(a));
  EXPECT(f.get() == applied(0));
  EXPECT_OK(cuGraphNodeSetEnabled(exec, nodes[1], 0));
  f.set(0);
  EXPECT_OK(cuGraphLaunch(exec, a));
  EXPECT_OK(cuStreamSynchronize(a));
  EXPECT(f.get() == 6);
}

TEST(update_with_another_topology_is_refused) {
  unit::Fixture f;
  const CUstream a = f.stream(), b = f.stream();
  const CUgraph graph = captureForkAndJoin(f, a, b);
  CUgraphExec exec = nullptr;
  EXPECT_OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
  EXPECT_OK(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
  EXPECT_OK(f.step(a, 1));
  CUgraph other = nullptr;
  EXPECT_OK(cuStreamEndCapture(a, &other));
  CUgraphExecUpdateResultInfo info{};
  EXPECT_STATUS(cuGraphExecUpdate_v2(exec, other, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
  EXPECT(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
}

TEST(unsafe_call_invalidates_a_global_capture) {
  unit::Fixture f;
  const CUstream s = f.stream();
  CUgraph graph = nullptr;
  CUdeviceptr address = 0;
  EXPECT_OK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
  EXPECT_STATUS(cuMemAlloc_v2(&address, 4), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_STATUS(f.step(s, 1), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_STATUS(cuStreamEndCapture(s, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT(graph == nullptr);
}

TEST(relaxed_capture_allows_unsafe_calls) {
  unit::Fixture f;
  const CUstream s = f.stream();
  CUgraph graph = nullptr;
  CUdeviceptr address = 0;
  EXPECT_OK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED));
  EXPECT_OK(cuMemAlloc_v2(&address, 4));
  EXPECT_OK(cuMemFree_v2(address));
  EXPECT_OK(cuStreamEndCapture(s, &graph));
}

TEST(unjoined_fork_fails_the_capture) {
  unit::Fixture f;
  const CUstream a = f.stream(), b = f.stream();
  CUevent event = nullptr;
  CUgraph graph = nullptr;
  EXPECT_OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  EXPECT_OK(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
  EXPECT_OK(cuEventRecord(event, a));
  EXPECT_OK(cuStreamWaitEvent(b, event, 0));
  EXPECT_OK(f.step(b, 1));
  EXPECT_STATUS(cuStreamEndCapture(a, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
  EXPECT_OK(f.step(b, 1));
}

TEST(waiting_for_uncaptured_work_fails_the_capture) {
  unit::Fixture f;
  const CUstream a = f.stream(), b = f.stream();
  CUevent event = nullptr;
  CUgraph graph = nullptr;
  EXPECT_OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  EXPECT_OK(cuEventRecord(event, b));
  EXPECT_OK(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
  EXPECT_STATUS(cuStreamWaitEvent(a, event, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  EXPECT_STATUS(cuStreamEndCapture(a, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

TEST(legacy_stream_may_not_be_used_during_a_capture) {
  unit::Fixture f;
  const CUstream s = f.stream(CU_STREAM_DEFAULT);
  CUgraph graph = nullptr;
  EXPECT_STATUS(cuStreamBeginCapture_v2(nullptr, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_OK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED));
  EXPECT_STATUS(f.step(nullptr, 1), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  EXPECT_STATUS(cuStreamEndCapture(s, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

TEST(synchronising_a_capturing_stream_fails_the_capture) {
  unit::Fixture f;
  const CUstream s = f.stream();
  CUgraph graph = nullptr;
  EXPECT_STATUS(cuStreamEndCapture(s, &graph), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_OK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  EXPECT_STATUS(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_STATUS(cuStreamSynchronize(s), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_STATUS(cuStreamEndCapture(s, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}
