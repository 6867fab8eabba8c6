// SPDX-License-Identifier: Apache-2.0
// Executable graphs: instantiation, launch, update.
#include "capture.h"
#include "graph_api.h"

using namespace gpusim;

namespace {

CUresult instantiate(CUgraphExec* out, CUgraph handle, unsigned long long flags) {
  return inContext([&](const auto& context) -> CUresult {
    constexpr unsigned long long known = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH |
                                         CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
                                         CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) return CUDA_ERROR_NOT_SUPPORTED;
    const auto graph = fromHandle<Graph>(handle);
    if (!graph || !out || (flags & ~known)) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<ExecutableGraph> executable;
    if (const CUresult status = ExecutableGraph::build(*graph, executable); status != CUDA_SUCCESS) return status;
    auto exec = std::make_shared<GraphExec>(context, std::move(executable), flags);
    *out = asHandle<CUgraphExec>(handles<GraphExec>().add(std::move(exec)));
    return CUDA_SUCCESS;
  });
}

template <class Body>
CUresult withExec(CUgraphExec handle, Body&& body) {
  return initialised([&]() -> CUresult {
    const auto exec = fromHandle<GraphExec>(handle);
    return exec ? body(exec) : CUDA_ERROR_INVALID_VALUE;
  });
}

}  // namespace

CUresult cuGraphInstantiate_v2(CUgraphExec* phGraphExec, CUgraph hGraph, CUgraphNode* phErrorNode, char* logBuffer,
                               size_t bufferSize) {
  if (phErrorNode) *phErrorNode = nullptr;
  if (logBuffer && bufferSize > 0) *logBuffer = '\0';
  return instantiate(phGraphExec, hGraph, 0);
}

CUresult cuGraphInstantiate(CUgraphExec* phGraphExec, CUgraph hGraph, CUgraphNode* phErrorNode, char* logBuffer,
                            size_t bufferSize) {
  return cuGraphInstantiate_v2(phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* phGraphExec, CUgraph hGraph, unsigned long long flags) {
  return instantiate(phGraphExec, hGraph, flags);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec* phGraphExec, CUgraph hGraph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS* instantiateParams) {
  if (!instantiateParams) return CUDA_ERROR_INVALID_VALUE;
  const CUresult status = instantiate(phGraphExec, hGraph, instantiateParams->flags);
  instantiateParams->hErrNode_out = nullptr;
  instantiateParams->result_out =
      status == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS : CUDA_GRAPH_INSTANTIATE_ERROR;
  return status;
}

CUresult cuGraphExecGetFlags(CUgraphExec hGraphExec, cuuint64_t* flags) {
  return withExec(hGraphExec, [&](const auto& exec) {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = exec->flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphExecDestroy(CUgraphExec hGraphExec) {
  return initialised([&] { return handles<GraphExec>().remove(hGraphExec) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuGraphUpload(CUgraphExec hGraphExec, CUstream hStream) {
  return onStream(hStream, [&](const StreamUse&) {
    return fromHandle<GraphExec>(hGraphExec) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGraphLaunch(CUgraphExec hGraphExec, CUstream hStream) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    const auto exec = fromHandle<GraphExec>(hGraphExec);
    if (!exec || &exec->context->device != &use.context->device) return CUDA_ERROR_INVALID_VALUE;
    return exec->launchAfterPrevious([&](CompletionPtr previous, uint64_t salt, CompletionPtr& done) {
      std::vector<CompletionPtr> dependencies;
      if (previous && !previous->done()) dependencies.push_back(std::move(previous));
      return submit(use.context, use.stream, CU_GRAPH_NODE_TYPE_GRAPH,
                    GraphWork{ExecutableGraph::forLaunch(exec->snapshot()), nullptr, salt}, &done,
                    std::move(dependencies));
    });
  });
}

CUresult cuGraphExecUpdate_v2(CUgraphExec hGraphExec, CUgraph hGraph, CUgraphExecUpdateResultInfo* resultInfo) {
  return withExec(hGraphExec, [&](const auto& exec) -> CUresult {
    const auto graph = fromHandle<Graph>(hGraph);
    if (!graph || !resultInfo) return CUDA_ERROR_INVALID_VALUE;
    return exec->updateFrom(*graph, *resultInfo);
  });
}

CUresult cuGraphExecUpdate(CUgraphExec hGraphExec, CUgraph hGraph, CUgraphNode* hErrorNode_out,
                           CUgraphExecUpdateResult* updateResult_out) {
  CUgraphExecUpdateResultInfo info{};
  const CUresult status = cuGraphExecUpdate_v2(hGraphExec, hGraph, &info);
  if (hErrorNode_out) *hErrorNode_out = info.errorNode;
  if (updateResult_out) *updateResult_out = info.result;
  return status;
}

CUresult cuGraphNodeSetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int isEnabled) {
  return withExec(hGraphExec, [&](const auto& exec) {
    return exec->setEnabled(reinterpret_cast<const GraphNode*>(hNode), isEnabled != 0);
  });
}

CUresult cuGraphNodeGetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int* isEnabled) {
  return withExec(hGraphExec, [&](const auto& exec) -> CUresult {
    bool enabled = false;
    if (!isEnabled) return CUDA_ERROR_INVALID_VALUE;
    const CUresult status = exec->enabled(reinterpret_cast<const GraphNode*>(hNode), enabled);
    if (status == CUDA_SUCCESS) *isEnabled = enabled;
    return status;
  });
}
