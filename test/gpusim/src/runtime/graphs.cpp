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

CUcontext currentContext() {
  CUcontext context = nullptr;
  cuCtxGetCurrent(&context);
  return context;
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

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     size_t count, void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  return inContext([&] {
    CUDA_MEMCPY3D c{};
    c.srcMemoryType = c.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
    c.srcDevice = address(from), c.dstDevice = address(to);
    c.srcPitch = c.dstPitch = c.WidthInBytes = bytes;
    c.Height = c.Depth = 1;
    return cuGraphAddMemcpyNode(node, graph, dependencies, count, &c, currentContext());
  });
}
cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemsetParams* params) {
  return inContext([&] {
    CUDA_MEMSET_NODE_PARAMS p{};
    p.dst = address(params->dst), p.pitch = params->pitch, p.value = params->value;
    p.elementSize = params->elementSize, p.width = params->width, p.height = params->height;
    return cuGraphAddMemsetNode(node, graph, dependencies, count, &p, currentContext());
  });
}
cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                 size_t count, const cudaHostNodeParams* params) {
  return inContext([&] {
    CUDA_HOST_NODE_PARAMS p{};
    p.fn = params->fn, p.userData = params->userData;
    return cuGraphAddHostNode(node, graph, dependencies, count, &p);
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

}  // extern "C"
