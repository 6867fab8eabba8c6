// SPDX-License-Identifier: Apache-2.0
// Graph nodes: adding them, reading and changing their parameters.
#include "graph_api.h"

using namespace gpusim;

namespace {

CUDA_KERNEL_NODE_PARAMS widen(const CUDA_KERNEL_NODE_PARAMS_v1& narrow) {
  return {narrow.func,         narrow.gridDimX,  narrow.gridDimY,  narrow.gridDimZ,
          narrow.blockDimX,    narrow.blockDimY, narrow.blockDimZ, narrow.sharedMemBytes,
          narrow.kernelParams, narrow.extra,     nullptr,          nullptr};
}

CUDA_KERNEL_NODE_PARAMS describeKernel(GraphNode& node, KernelWork& work) {
  node.parameterPointers.clear();
  for (const KernelParameter& parameter : work.function->kernel->parameters)
    node.parameterPointers.push_back(work.config.parameters.data() + parameter.offset);
  CUDA_KERNEL_NODE_PARAMS params{};
  params.func = asHandle<CUfunction>(work.function.get());
  params.gridDimX = work.config.grid.x;
  params.gridDimY = work.config.grid.y;
  params.gridDimZ = work.config.grid.z;
  params.blockDimX = work.config.block.x;
  params.blockDimY = work.config.block.y;
  params.blockDimZ = work.config.block.z;
  params.sharedMemBytes = work.config.dynamicShared;
  params.kernelParams = node.parameterPointers.data();
  params.ctx = asHandle<CUcontext>(work.function->module->context.get());
  return params;
}

CUDA_MEMSET_NODE_PARAMS describeFill(const FillWork& work) {
  return {work.destination, work.pitch, work.value, work.elementSize, work.width, work.height};
}

// Sets a node's work, keeping what the parameters do not say.
CUresult setKernel(Work& work, const CUDA_KERNEL_NODE_PARAMS* params) {
  const KernelWork old = std::get<KernelWork>(work);
  const CUresult status = kernelWork(params, work);
  if (status != CUDA_SUCCESS) return status;
  auto& kernel = std::get<KernelWork>(work);
  kernel.config.cooperative = old.config.cooperative;
  kernel.priority = old.priority;
  return CUDA_SUCCESS;
}

template <class SomeWork, class Out>
CUresult give(CUgraphNode node, Out* out, Out (*describe)(const SomeWork&)) {
  return onNode<SomeWork>(node, [&](GraphNode&, SomeWork& work) {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = describe(work);
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuGraphAddKernelNode_v2(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                 size_t numDependencies, const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return addNode(phGraphNode, hGraph, dependencies, numDependencies, CU_GRAPH_NODE_TYPE_KERNEL,
                 [&](Work& work) { return kernelWork(nodeParams, work); });
}

CUresult cuGraphAddKernelNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS wide = widen(*nodeParams);
  return cuGraphAddKernelNode_v2(phGraphNode, hGraph, dependencies, numDependencies, &wide);
}

CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return onNode<KernelWork>(hNode, [&](GraphNode& node, KernelWork& work) {
    if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
    *nodeParams = describeKernel(node, work);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphKernelNodeGetParams(CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return onNode<KernelWork>(hNode, [&](GraphNode& node, KernelWork& work) {
    if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
    const CUDA_KERNEL_NODE_PARAMS wide = describeKernel(node, work);
    *nodeParams = {wide.func,      wide.gridDimX,  wide.gridDimY,       wide.gridDimZ,     wide.blockDimX,
                   wide.blockDimY, wide.blockDimZ, wide.sharedMemBytes, wide.kernelParams, wide.extra};
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return onNode<KernelWork>(hNode, [&](GraphNode& node, KernelWork&) { return setKernel(node.work, nodeParams); });
}

CUresult cuGraphKernelNodeSetParams(CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS wide = widen(*nodeParams);
  return cuGraphKernelNodeSetParams_v2(hNode, &wide);
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec hGraphExec, CUgraphNode hNode,
                                           const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return changeExecNode(hGraphExec, hNode, CU_GRAPH_NODE_TYPE_KERNEL,
                        [&](Work& work) { return setKernel(work, nodeParams); });
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS wide = widen(*nodeParams);
  return cuGraphExecKernelNodeSetParams_v2(hGraphExec, hNode, &wide);
}

CUresult cuGraphKernelNodeGetAttribute(CUgraphNode hNode, CUkernelNodeAttrID attr, CUkernelNodeAttrValue* value) {
  return onNode<KernelWork>(hNode, [&](GraphNode&, KernelWork& work) {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    *value = {};
    if (attr == CU_LAUNCH_ATTRIBUTE_COOPERATIVE) value->cooperative = work.config.cooperative;
    if (attr == CU_LAUNCH_ATTRIBUTE_PRIORITY) value->priority = work.priority;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode hNode, CUkernelNodeAttrID attr, const CUkernelNodeAttrValue* value) {
  return onNode<KernelWork>(hNode, [&](GraphNode&, KernelWork& work) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    CUlaunchAttribute attribute{};
    attribute.id = attr;
    attribute.value = *value;
    LaunchRequest request;
    request.cooperative = work.config.cooperative;
    request.priority = work.priority;
    if (const CUresult status = readAttributes(&attribute, 1, request); status != CUDA_SUCCESS) return status;
    work.config.cooperative = request.cooperative;
    work.priority = request.priority;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode dst, CUgraphNode src) {
  return onNode<KernelWork>(dst, [&](GraphNode&, KernelWork& to) {
    return onNode<KernelWork>(src, [&](GraphNode&, KernelWork& from) {
      to.config.cooperative = from.config.cooperative;
      to.priority = from.priority;
      return CUDA_SUCCESS;
    });
  });
}

CUresult cuGraphAddMemcpyNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_MEMCPY3D* copyParams, CUcontext) {
  return addNode(phGraphNode, hGraph, dependencies, numDependencies, CU_GRAPH_NODE_TYPE_MEMCPY,
                 [&](Work& work) { return copyNodeWork(copyParams, work); });
}

CUresult cuGraphMemcpyNodeGetParams(CUgraphNode hNode, CUDA_MEMCPY3D* nodeParams) {
  return give<CopyWork, CUDA_MEMCPY3D>(hNode, nodeParams, [](const CopyWork& work) { return work.described; });
}

CUresult cuGraphMemcpyNodeSetParams(CUgraphNode hNode, const CUDA_MEMCPY3D* nodeParams) {
  return onNode<CopyWork>(hNode, [&](GraphNode& node, CopyWork&) { return copyNodeWork(nodeParams, node.work); });
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_MEMCPY3D* copyParams,
                                        CUcontext) {
  return changeExecNode(hGraphExec, hNode, CU_GRAPH_NODE_TYPE_MEMCPY,
                        [&](Work& work) { return copyNodeWork(copyParams, work); });
}

CUresult cuGraphAddMemsetNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext) {
  return addNode(phGraphNode, hGraph, dependencies, numDependencies, CU_GRAPH_NODE_TYPE_MEMSET,
                 [&](Work& work) { return fillNodeWork(memsetParams, work); });
}

CUresult cuGraphMemsetNodeGetParams(CUgraphNode hNode, CUDA_MEMSET_NODE_PARAMS* nodeParams) {
  return give<FillWork, CUDA_MEMSET_NODE_PARAMS>(hNode, nodeParams, describeFill);
}

CUresult cuGraphMemsetNodeSetParams(CUgraphNode hNode, const CUDA_MEMSET_NODE_PARAMS* nodeParams) {
  return onNode<FillWork>(hNode, [&](GraphNode& node, FillWork&) { return fillNodeWork(nodeParams, node.work); });
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext) {
  return changeExecNode(hGraphExec, hNode, CU_GRAPH_NODE_TYPE_MEMSET,
                        [&](Work& work) { return fillNodeWork(memsetParams, work); });
}

CUresult cuGraphAddHostNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                            size_t numDependencies, const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return addNode(phGraphNode, hGraph, dependencies, numDependencies, CU_GRAPH_NODE_TYPE_HOST,
                 [&](Work& work) { return hostNodeWork(nodeParams, work); });
}

CUresult cuGraphHostNodeGetParams(CUgraphNode hNode, CUDA_HOST_NODE_PARAMS* nodeParams) {
  return give<HostWork, CUDA_HOST_NODE_PARAMS>(hNode, nodeParams, [](const HostWork& work) {
    return CUDA_HOST_NODE_PARAMS{work.function, work.userData};
  });
}

CUresult cuGraphHostNodeSetParams(CUgraphNode hNode, const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return onNode<HostWork>(hNode, [&](GraphNode& node, HostWork&) { return hostNodeWork(nodeParams, node.work); });
}

CUresult cuGraphExecHostNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                      const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return changeExecNode(hGraphExec, hNode, CU_GRAPH_NODE_TYPE_HOST,
                        [&](Work& work) { return hostNodeWork(nodeParams, work); });
}

CUresult cuGraphAddEmptyNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                             size_t numDependencies) {
  return addNode(phGraphNode, hGraph, dependencies, numDependencies, CU_GRAPH_NODE_TYPE_EMPTY,
                 [](Work&) { return CUDA_SUCCESS; });
}

CUresult cuGraphAddChildGraphNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                  size_t numDependencies, CUgraph childGraph) {
  return addNode(phGraphNode, hGraph, dependencies, numDependencies, CU_GRAPH_NODE_TYPE_GRAPH,
                 [&](Work& work) { return childNodeWork(childGraph, work); });
}

CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode hNode, CUgraph* phGraph) {
  return onNode<GraphWork>(hNode, [&](GraphNode&, GraphWork& work) {
    if (!phGraph || !work.source) return CUDA_ERROR_INVALID_VALUE;
    *phGraph = asHandle<CUgraph>(work.source.get());
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddEventRecordNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                   size_t numDependencies, CUevent event) {
  return addNode(phGraphNode, hGraph, dependencies, numDependencies, CU_GRAPH_NODE_TYPE_EVENT_RECORD,
                 [&](Work& work) { return recordNodeWork(event, work); });
}

CUresult cuGraphAddEventWaitNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                 size_t numDependencies, CUevent event) {
  return addNode(phGraphNode, hGraph, dependencies, numDependencies, CU_GRAPH_NODE_TYPE_WAIT_EVENT,
                 [&](Work& work) { return waitNodeWork(event, work); });
}

CUresult cuGraphEventRecordNodeGetEvent(CUgraphNode hNode, CUevent* event_out) {
  return give<EventRecordWork, CUevent>(
      hNode, event_out, [](const EventRecordWork& work) { return asHandle<CUevent>(work.event.get()); });
}

CUresult cuGraphEventWaitNodeGetEvent(CUgraphNode hNode, CUevent* event_out) {
  return give<EventWaitWork, CUevent>(hNode, event_out,
                                      [](const EventWaitWork& work) { return asHandle<CUevent>(work.event.get()); });
}

CUresult cuGraphEventRecordNodeSetEvent(CUgraphNode hNode, CUevent event) {
  return onNode<EventRecordWork>(hNode,
                                 [&](GraphNode& node, EventRecordWork&) { return recordNodeWork(event, node.work); });
}

CUresult cuGraphEventWaitNodeSetEvent(CUgraphNode hNode, CUevent event) {
  return onNode<EventWaitWork>(hNode, [&](GraphNode& node, EventWaitWork&) { return waitNodeWork(event, node.work); });
}

CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event) {
  return changeExecNode(hGraphExec, hNode, CU_GRAPH_NODE_TYPE_EVENT_RECORD,
                        [&](Work& work) { return recordNodeWork(event, work); });
}

CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event) {
  return changeExecNode(hGraphExec, hNode, CU_GRAPH_NODE_TYPE_WAIT_EVENT,
                        [&](Work& work) { return waitNodeWork(event, work); });
}

CUresult cuGraphAddNode_v2(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                           const CUgraphEdgeData*, size_t numDependencies, CUgraphNodeParams* nodeParams) {
  if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
  return addNode(phGraphNode, hGraph, dependencies, numDependencies, nodeParams->type,
                 [&](Work& work) { return genericNodeWork(nodeParams, work); });
}

CUresult cuGraphAddNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                        size_t numDependencies, CUgraphNodeParams* nodeParams) {
  return cuGraphAddNode_v2(phGraphNode, hGraph, dependencies, nullptr, numDependencies, nodeParams);
}

CUresult cuGraphNodeSetParams(CUgraphNode hNode, CUgraphNodeParams* nodeParams) {
  return initialised([&]() -> CUresult {
    const auto node = fromHandle<GraphNode>(hNode);
    if (!node || !nodeParams || node->type != nodeParams->type) return CUDA_ERROR_INVALID_VALUE;
    return genericNodeWork(nodeParams, node->work);
  });
}

CUresult cuGraphExecNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode, CUgraphNodeParams* nodeParams) {
  if (!nodeParams || nodeParams->type == CU_GRAPH_NODE_TYPE_GRAPH) return CUDA_ERROR_INVALID_VALUE;
  return changeExecNode(hGraphExec, hNode, nodeParams->type,
                        [&](Work& work) { return genericNodeWork(nodeParams, work); });
}
