// SPDX-License-Identifier: Apache-2.0
#include "graph_api.h"

namespace gpusim {

CUresult readNodes(const Graph& graph, const CUgraphNode* nodes, size_t count, std::vector<GraphNode*>& found) {
  for (size_t i = 0; i < count; ++i) {
    const auto node = fromHandle<GraphNode>(nodes[i]);
    if (!node || !graph.owns(node.get())) return CUDA_ERROR_INVALID_VALUE;
    found.push_back(node.get());
  }
  return CUDA_SUCCESS;
}

CUresult kernelWork(const CUDA_KERNEL_NODE_PARAMS* params, Work& work) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const void* handle = params->func ? static_cast<const void*>(params->func) : params->kern;
  std::shared_ptr<Context> context = params->ctx ? fromHandle<Context>(params->ctx) : currentContext();
  if (const auto function = fromHandle<Function>(handle)) context = function->module->context;
  if (const CUresult status = usable(context); status != CUDA_SUCCESS) return status;
  KernelWork kernel;
  const CUresult status = prepareLaunch(context, handle,
                                        {{params->gridDimX, params->gridDimY, params->gridDimZ},
                                         {params->blockDimX, params->blockDimY, params->blockDimZ},
                                         params->sharedMemBytes,
                                         false,
                                         0,
                                         params->kernelParams,
                                         params->extra},
                                        kernel);
  if (status == CUDA_SUCCESS) work = std::move(kernel);
  return status;
}

CUresult copyNodeWork(const CUDA_MEMCPY3D* params, Work& work) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  CopyWork copy;
  if (const CUresult status = describeCopy(*params, copy); status != CUDA_SUCCESS) return status;
  if (const CUresult status = validateCopy(copy); status != CUDA_SUCCESS) return status;
  work = std::move(copy);
  return CUDA_SUCCESS;
}

CUresult fillNodeWork(const CUDA_MEMSET_NODE_PARAMS* params, Work& work) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const FillWork fill{params->dst, params->pitch, params->value, params->elementSize, params->width, params->height};
  if (const CUresult status = validateFill(fill); status != CUDA_SUCCESS) return status;
  work = fill;
  return CUDA_SUCCESS;
}

CUresult hostNodeWork(const CUDA_HOST_NODE_PARAMS* params, Work& work) {
  if (!params || !params->fn) return CUDA_ERROR_INVALID_VALUE;
  work = HostWork{params->fn, params->userData};
  return CUDA_SUCCESS;
}

CUresult recordNodeWork(CUevent handle, Work& work) {
  auto event = fromHandle<Event>(handle);
  if (!event) return CUDA_ERROR_INVALID_VALUE;
  work = EventRecordWork{std::move(event), nullptr};
  return CUDA_SUCCESS;
}

CUresult waitNodeWork(CUevent handle, Work& work) {
  auto event = fromHandle<Event>(handle);
  if (!event) return CUDA_ERROR_INVALID_VALUE;
  work = EventWaitWork{std::move(event)};
  return CUDA_SUCCESS;
}

CUresult childNodeWork(CUgraph handle, Work& work) {
  const auto graph = fromHandle<Graph>(handle);
  if (!graph) return CUDA_ERROR_INVALID_VALUE;
  auto copy = graph->clone();
  handles<Graph>().add(copy);
  work = GraphWork{nullptr, std::move(copy), 0};
  return CUDA_SUCCESS;
}

CUresult genericNodeWork(const CUgraphNodeParams* params, Work& work) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  switch (params->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return kernelWork(&params->kernel, work);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return copyNodeWork(&params->memcpy.copyParams, work);
    case CU_GRAPH_NODE_TYPE_MEMSET: {
      const auto& wide = params->memset;
      const CUDA_MEMSET_NODE_PARAMS plain{wide.dst, wide.pitch, wide.value, wide.elementSize, wide.width, wide.height};
      return fillNodeWork(&plain, work);
    }
    case CU_GRAPH_NODE_TYPE_HOST:
      return hostNodeWork(&params->host, work);
    case CU_GRAPH_NODE_TYPE_GRAPH:
      return childNodeWork(params->graph.graph, work);
    case CU_GRAPH_NODE_TYPE_EMPTY:
      work = EmptyWork{};
      return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return waitNodeWork(params->eventWait.event, work);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return recordNodeWork(params->eventRecord.event, work);
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
  }
}

}  // namespace gpusim
