// SPDX-License-Identifier: Apache-2.0
// Graphs: nodes, instances, updates.
#include "runtime_api.h"

using namespace cudart;

namespace {

cudaError_t driverParams(const cudaKernelNodeParams& p, CUDA_KERNEL_NODE_PARAMS& out) {
  out = {};
  if (const cudaError_t error = findFunction(p.func, out.func); error != cudaSuccess) return error;
  out.gridDimX = p.gridDim.x, out.gridDimY = p.gridDim.y, out.gridDimZ = p.gridDim.z;
  out.blockDimX = p.blockDim.x, out.blockDimY = p.blockDim.y, out.blockDimZ = p.blockDim.z;
  out.sharedMemBytes = p.sharedMemBytes;
  out.kernelParams = p.kernelParams, out.extra = p.extra;
  return cudaSuccess;
}

/// Calls `use` with a kernel node's parameters as the driver takes them.
template <class Use>
cudaError_t withParams(const cudaKernelNodeParams* params, Use use) {
  return inContext([&] {
    CUDA_KERNEL_NODE_PARAMS p;
    if (const cudaError_t error = driverParams(*params, p); error != cudaSuccess) return error;
    return convert(use(&p));
  });
}

}  // namespace

extern "C" {

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned int flags) {
  return inContext([&] { return cuGraphCreate(graph, flags); });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return inContext([&] { return cuGraphDestroy(graph); });
}
cudaError_t cudaGraphClone(cudaGraph_t* clone, cudaGraph_t graph) {
  return inContext([&] { return cuGraphClone(clone, graph); });
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return inContext([&] { return cuGraphInstantiate(exec, graph, flags); });
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiate(exec, graph, flags);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return inContext([&] { return cuGraphExecDestroy(exec); });
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
  static_assert(sizeof(cudaGraphExecUpdateResultInfo) == sizeof(CUgraphExecUpdateResultInfo));
  return inContext(
      [&] { return cuGraphExecUpdate(exec, graph, reinterpret_cast<CUgraphExecUpdateResultInfo*>(info)); });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return inContext([&] { return cuGraphGetNodes(graph, nodes, count); });
}
cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return inContext([&] { return cuGraphGetRootNodes(graph, nodes, count); });
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return inContext([&] { return cuGraphNodeGetType(node, reinterpret_cast<CUgraphNodeType*>(type)); });
}
cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                     const cudaGraphEdgeData* edges, size_t count) {
  return inContext(
      [&] { return cuGraphAddDependencies(graph, from, to, reinterpret_cast<const CUgraphEdgeData*>(edges), count); });
}

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaKernelNodeParams* params) {
  return withParams(params, [&](auto* p) { return cuGraphAddKernelNode(node, graph, dependencies, count, p); });
}
cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* params) {
  return withParams(params, [&](auto* p) { return cuGraphKernelNodeSetParams(node, p); });
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params) {
  return withParams(params, [&](auto* p) { return cuGraphExecKernelNodeSetParams(exec, node, p); });
}
cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* params) {
  return inContext([&] {
    CUDA_KERNEL_NODE_PARAMS p{};
    const CUresult result = cuGraphKernelNodeGetParams(node, &p);
    *params = {p.func,
               {p.gridDimX, p.gridDimY, p.gridDimZ},
               {p.blockDimX, p.blockDimY, p.blockDimZ},
               p.sharedMemBytes,
               p.kernelParams,
               p.extra};
    return result;
  });
}

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                  size_t count) {
  return inContext([&] { return cuGraphAddEmptyNode(node, graph, dependencies, count); });
}
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                       size_t count, cudaGraph_t child) {
  return inContext([&] { return cuGraphAddChildGraphNode(node, graph, dependencies, count, child); });
}

cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t* graph) {
  return inContext([&] { return cuGraphChildGraphNodeGetGraph(node, graph); });
}

cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) {
  return inContext([&] { return cuGraphDestroyNode(node); });
}
cudaError_t cudaGraphNodeFindInClone(cudaGraphNode_t* node, cudaGraphNode_t original, cudaGraph_t clone) {
  return inContext([&] { return cuGraphNodeFindInClone(node, original, clone); });
}
cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* edges,
                              size_t* count) {
  return inContext([&] { return cuGraphGetEdges(graph, from, to, reinterpret_cast<CUgraphEdgeData*>(edges), count); });
}
cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData* edges,
                                         size_t* count) {
  return inContext(
      [&] { return cuGraphNodeGetDependencies(node, nodes, reinterpret_cast<CUgraphEdgeData*>(edges), count); });
}
cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData* edges,
                                           size_t* count) {
  return inContext(
      [&] { return cuGraphNodeGetDependentNodes(node, nodes, reinterpret_cast<CUgraphEdgeData*>(edges), count); });
}
cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                        const cudaGraphEdgeData* edges, size_t count) {
  return inContext([&] {
    return cuGraphRemoveDependencies(graph, from, to, reinterpret_cast<const CUgraphEdgeData*>(edges), count);
  });
}
cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned int enabled) {
  return inContext([&] { return cuGraphNodeSetEnabled(exec, node, enabled); });
}
cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned int* enabled) {
  return inContext([&] { return cuGraphNodeGetEnabled(exec, node, enabled); });
}
cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned int flags) {
  return inContext([&] { return cuGraphDebugDotPrint(graph, path, flags); });
}

}  // extern "C"
