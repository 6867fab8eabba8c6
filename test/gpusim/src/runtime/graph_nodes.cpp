// SPDX-License-Identifier: Apache-2.0
// Graph nodes that copy, fill, call the host, and record or wait for events.
#include "copy_box.h"

using namespace cudart;

namespace {

CUcontext currentContext() {
  CUcontext context = nullptr;
  cuCtxGetCurrent(&context);
  return context;
}

CUDA_MEMCPY3D line(void* to, const void* from, size_t bytes) {
  CUDA_MEMCPY3D c{};
  c.srcMemoryType = c.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  c.srcDevice = address(from), c.dstDevice = address(to);
  c.srcPitch = c.dstPitch = c.WidthInBytes = bytes;
  c.Height = c.Depth = 1;
  return c;
}

/// Calls `use` with a copy as the driver takes it.
template <class Use>
cudaError_t withCopy(const cudaMemcpy3DParms* params, Use use) {
  return inContext([&] {
    if (!params) return CUDA_ERROR_INVALID_VALUE;
    if (!linear(*params)) return CUDA_ERROR_NOT_SUPPORTED;
    const CUDA_MEMCPY3D copy = box(*params);
    return use(&copy);
  });
}

CUDA_MEMSET_NODE_PARAMS fill(const cudaMemsetParams& params) {
  CUDA_MEMSET_NODE_PARAMS p{};
  p.dst = address(params.dst), p.pitch = params.pitch, p.value = params.value;
  p.elementSize = params.elementSize, p.width = params.width, p.height = params.height;
  return p;
}

CUDA_HOST_NODE_PARAMS hostCall(const cudaHostNodeParams& params) {
  CUDA_HOST_NODE_PARAMS p{};
  p.fn = params.fn, p.userData = params.userData;
  return p;
}

}  // namespace

extern "C" {

cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemcpy3DParms* params) {
  return withCopy(params,
                  [&](auto* c) { return cuGraphAddMemcpyNode(node, graph, dependencies, count, c, currentContext()); });
}
cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t node, const cudaMemcpy3DParms* params) {
  return withCopy(params, [&](auto* c) { return cuGraphMemcpyNodeSetParams(node, c); });
}
cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemcpy3DParms* params) {
  return withCopy(params, [&](auto* c) { return cuGraphExecMemcpyNodeSetParams(exec, node, c, currentContext()); });
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     size_t count, void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  return inContext([&] {
    const CUDA_MEMCPY3D c = line(to, from, bytes);
    return cuGraphAddMemcpyNode(node, graph, dependencies, count, &c, currentContext());
  });
}
cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* to, const void* from, size_t bytes,
                                           cudaMemcpyKind) {
  return inContext([&] {
    const CUDA_MEMCPY3D c = line(to, from, bytes);
    return cuGraphMemcpyNodeSetParams(node, &c);
  });
}
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* from,
                                               size_t bytes, cudaMemcpyKind) {
  return inContext([&] {
    const CUDA_MEMCPY3D c = line(to, from, bytes);
    return cuGraphExecMemcpyNodeSetParams(exec, node, &c, currentContext());
  });
}
cudaError_t cudaGraphAddMemcpyNodeToSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                           const cudaGraphNode_t* dependencies, size_t count, const void* symbol,
                                           const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return withVariable(symbol, offset, bytes, [&](void* to) {
    return cudaGraphAddMemcpyNode1D(node, graph, dependencies, count, to, from, bytes, kind);
  });
}
cudaError_t cudaGraphAddMemcpyNodeFromSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                             const cudaGraphNode_t* dependencies, size_t count, void* to,
                                             const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  return withVariable(symbol, offset, bytes, [&](void* from) {
    return cudaGraphAddMemcpyNode1D(node, graph, dependencies, count, to, from, bytes, kind);
  });
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemsetParams* params) {
  return inContext([&] {
    const CUDA_MEMSET_NODE_PARAMS p = fill(*params);
    return cuGraphAddMemsetNode(node, graph, dependencies, count, &p, currentContext());
  });
}
cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t node, const cudaMemsetParams* params) {
  return inContext([&] {
    const CUDA_MEMSET_NODE_PARAMS p = fill(*params);
    return cuGraphMemsetNodeSetParams(node, &p);
  });
}
cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemsetParams* params) {
  return inContext([&] {
    const CUDA_MEMSET_NODE_PARAMS p = fill(*params);
    return cuGraphExecMemsetNodeSetParams(exec, node, &p, currentContext());
  });
}
cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* params) {
  return inContext([&] {
    CUDA_MEMSET_NODE_PARAMS p{};
    const CUresult result = cuGraphMemsetNodeGetParams(node, &p);
    *params = {reinterpret_cast<void*>(p.dst), p.pitch, p.value, p.elementSize, p.width, p.height};
    return result;
  });
}

cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                 size_t count, const cudaHostNodeParams* params) {
  return inContext([&] {
    const CUDA_HOST_NODE_PARAMS p = hostCall(*params);
    return cuGraphAddHostNode(node, graph, dependencies, count, &p);
  });
}
cudaError_t cudaGraphHostNodeSetParams(cudaGraphNode_t node, const cudaHostNodeParams* params) {
  return inContext([&] {
    const CUDA_HOST_NODE_PARAMS p = hostCall(*params);
    return cuGraphHostNodeSetParams(node, &p);
  });
}
cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                           const cudaHostNodeParams* params) {
  return inContext([&] {
    const CUDA_HOST_NODE_PARAMS p = hostCall(*params);
    return cuGraphExecHostNodeSetParams(exec, node, &p);
  });
}
cudaError_t cudaGraphHostNodeGetParams(cudaGraphNode_t node, cudaHostNodeParams* params) {
  return inContext([&] {
    CUDA_HOST_NODE_PARAMS p{};
    const CUresult result = cuGraphHostNodeGetParams(node, &p);
    *params = {p.fn, p.userData};
    return result;
  });
}

cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                        size_t count, cudaEvent_t event) {
  return inContext([&] { return cuGraphAddEventRecordNode(node, graph, dependencies, count, event); });
}
cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                      size_t count, cudaEvent_t event) {
  return inContext([&] { return cuGraphAddEventWaitNode(node, graph, dependencies, count, event); });
}

}  // extern "C"
