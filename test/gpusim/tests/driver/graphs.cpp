// SPDX-License-Identifier: Apache-2.0
// Graphs built node by node.
#include "unit.h"

namespace {

unsigned copied = 0;
unsigned seenByHost = 0;

CUDA_MEMCPY3D copyToHost(CUdeviceptr source) {
  CUDA_MEMCPY3D params{};
  params.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  params.srcDevice = source;
  params.dstMemoryType = CU_MEMORYTYPE_HOST;
  params.dstHost = &copied;
  params.WidthInBytes = 4;
  params.Height = params.Depth = 1;
  return params;
}

// memset 2 -> kernel (x3 + 1) -> copy -> host function -> event
struct Chain {
  CUgraph graph = nullptr;
  CUgraphNode fill = nullptr, kernel = nullptr, copy = nullptr, host = nullptr, record = nullptr;
  CUevent event = nullptr;

  explicit Chain(unit::Fixture& f) {
    EXPECT_OK(cuGraphCreate(&graph, 0));
    EXPECT_OK(cuEventCreate(&event, CU_EVENT_DEFAULT));
    const CUDA_MEMSET_NODE_PARAMS fillParams{f.word, 0, 2, 4, 1, 1};
    EXPECT_OK(cuGraphAddMemsetNode(&fill, graph, nullptr, 0, &fillParams, f.context));
    unsigned v = 1;
    void* arguments[] = {&f.word, &v};
    const CUDA_KERNEL_NODE_PARAMS kernelParams{f.stepKernel, 1, 1, 1, 1, 1, 1, 0, arguments, nullptr, nullptr, nullptr};
    EXPECT_OK(cuGraphAddKernelNode_v2(&kernel, graph, &fill, 1, &kernelParams));
    const CUDA_MEMCPY3D copyParams = copyToHost(f.word);
    EXPECT_OK(cuGraphAddMemcpyNode(&copy, graph, &kernel, 1, &copyParams, f.context));
    const CUDA_HOST_NODE_PARAMS hostParams{[](void*) { seenByHost = copied; }, nullptr};
    EXPECT_OK(cuGraphAddHostNode(&host, graph, &copy, 1, &hostParams));
    EXPECT_OK(cuGraphAddEventRecordNode(&record, graph, &host, 1, event));
  }
};

}  // namespace

TEST(explicit_nodes_run_in_dependency_order) {
  unit::Fixture f;
  const CUstream s = f.stream();
  Chain chain(f);
  CUgraphExec exec = nullptr;
  EXPECT_OK(cuGraphInstantiateWithFlags(&exec, chain.graph, 0));
  copied = seenByHost = 0;
  EXPECT_OK(cuGraphLaunch(exec, s));
  EXPECT_OK(cuEventSynchronize(chain.event));
  EXPECT(copied == 7 && seenByHost == 7);
}

TEST(child_graph_is_a_copy) {
  unit::Fixture f;
  const CUstream s = f.stream();
  Chain chain(f);
  CUgraph parent = nullptr;
  CUgraphNode child = nullptr;
  EXPECT_OK(cuGraphCreate(&parent, 0));
  EXPECT_OK(cuGraphAddChildGraphNode(&child, parent, nullptr, 0, chain.graph));
  EXPECT_OK(cuGraphDestroyNode(chain.record));
  EXPECT_OK(cuGraphDestroy(chain.graph));
  CUgraph inner = nullptr;
  size_t count = 0;
  EXPECT_OK(cuGraphChildGraphNodeGetGraph(child, &inner));
  EXPECT_OK(cuGraphGetNodes(inner, nullptr, &count));
  EXPECT(count == 5);
  CUgraphExec exec = nullptr;
  EXPECT_OK(cuGraphInstantiateWithFlags(&exec, parent, 0));
  copied = 0;
  EXPECT_OK(cuGraphLaunch(exec, s));
  EXPECT_OK(cuStreamSynchronize(s));
  EXPECT(copied == 7);
}

TEST(edges_are_checked) {
  unit::Fixture f;
  Chain chain(f);
  EXPECT_STATUS(cuGraphAddDependencies_v2(chain.graph, &chain.host, &chain.fill, nullptr, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_STATUS(cuGraphRemoveDependencies_v2(chain.graph, &chain.fill, &chain.host, nullptr, 1),
                CUDA_ERROR_INVALID_VALUE);
  EXPECT_OK(cuGraphRemoveDependencies_v2(chain.graph, &chain.host, &chain.record, nullptr, 1));
  size_t roots = 0, dependencies = 9;
  EXPECT_OK(cuGraphGetRootNodes(chain.graph, nullptr, &roots));
  EXPECT(roots == 2);
  EXPECT_OK(cuGraphNodeGetDependencies_v2(chain.copy, nullptr, nullptr, &dependencies));
  EXPECT(dependencies == 1);
  CUgraph other = nullptr;
  CUgraphNode node = nullptr;
  EXPECT_OK(cuGraphCreate(&other, 0));
  EXPECT_STATUS(cuGraphAddEmptyNode(&node, other, &chain.fill, 1), CUDA_ERROR_INVALID_VALUE);
}

TEST(node_parameters_read_back) {
  unit::Fixture f;
  Chain chain(f);
  CUDA_MEMSET_NODE_PARAMS fill{};
  EXPECT_OK(cuGraphMemsetNodeGetParams(chain.fill, &fill));
  EXPECT(fill.dst == f.word && fill.value == 2 && fill.elementSize == 4 && fill.width == 1);
  CUDA_MEMCPY3D copy{};
  EXPECT_OK(cuGraphMemcpyNodeGetParams(chain.copy, &copy));
  EXPECT(copy.srcDevice == f.word && copy.dstHost == &copied);
  EXPECT_STATUS(cuGraphMemcpyNodeGetParams(chain.fill, &copy), CUDA_ERROR_INVALID_VALUE);
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  EXPECT_OK(cuGraphNodeGetType(chain.host, &type));
  EXPECT(type == CU_GRAPH_NODE_TYPE_HOST);
  CUgraph clone = nullptr;
  CUgraphNode twin = nullptr;
  EXPECT_OK(cuGraphClone(&clone, chain.graph));
  EXPECT_OK(cuGraphNodeFindInClone(&twin, chain.kernel, clone));
  EXPECT(twin != chain.kernel);
  EXPECT_OK(cuGraphDestroy(clone));
  EXPECT_STATUS(cuGraphNodeGetType(twin, &type), CUDA_ERROR_INVALID_VALUE);
}
