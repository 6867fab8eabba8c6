// SPDX-License-Identifier: Apache-2.0
// Stream capture.
#include "capture.h"
#include "graph_api.h"

using namespace gpusim;

namespace {

CUresult begin(CUstream handle, CUstreamCaptureMode mode, std::shared_ptr<Graph> graph,
               std::vector<GraphNode*> dependencies, bool intoGraph) {
  return onStream(handle, [&](const StreamUse& use) -> CUresult {
    // The legacy stream cannot be captured.
    if (use.stream == use.context->legacyStream()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return beginCapture(use.stream, mode, std::move(graph), std::move(dependencies), intoGraph);
  });
}

CUstreamCaptureStatus statusOf(const Stream& stream) {
  if (!stream.capture) return CU_STREAM_CAPTURE_STATUS_NONE;
  return stream.capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
}

// Asking the legacy stream while another blocking stream captures is an error, as any use of it would be.
CUresult checkImplicit(const StreamUse& use) {
  if (!anyCapture() || use.stream != use.context->legacyStream()) return CUDA_SUCCESS;
  for (const auto& other : use.context->streams())
    if (other->capture && other->blocking()) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  return CUDA_SUCCESS;
}

struct CaptureInfo {
  cuuint64_t id = 0;
  CUgraph graph = nullptr;
  const CUgraphNode* dependencies = nullptr;
  size_t count = 0;
};

CUresult getInfo(CUstream handle, CUstreamCaptureStatus* status, CaptureInfo& info) {
  return onStream(handle, [&](const StreamUse& use) -> CUresult {
    if (!status) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard lock(captureLock());
    if (const CUresult implicit = checkImplicit(use); implicit != CUDA_SUCCESS) return implicit;
    *status = statusOf(*use.stream);
    if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
    const auto& capture = use.stream->capture;
    handles<Graph>().add(capture->graph);  // the program may now name it
    info.id = capture->id;
    info.graph = asHandle<CUgraph>(capture->graph.get());
    info.dependencies = reinterpret_cast<const CUgraphNode*>(use.stream->captureFrontier.data());
    info.count = use.stream->captureFrontier.size();
    return CUDA_SUCCESS;
  });
}

CUresult updateDependencies(CUstream handle, const CUgraphNode* dependencies, size_t count, unsigned flags) {
  return onStream(handle, [&](const StreamUse& use) -> CUresult {
    std::lock_guard lock(captureLock());
    const auto capture = use.stream->capture;
    if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES || (count > 0 && !dependencies)) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphNode*> nodes;
    if (const CUresult status = readNodes(*capture->graph, dependencies, count, nodes); status != CUDA_SUCCESS)
      return status;
    auto& frontier = use.stream->captureFrontier;
    if (flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES) frontier.clear();
    frontier.insert(frontier.end(), nodes.begin(), nodes.end());
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuStreamBeginCapture_v2(CUstream hStream, CUstreamCaptureMode mode) {
  return begin(hStream, mode, std::make_shared<Graph>(), {}, false);
}

CUresult cuStreamBeginCaptureToGraph(CUstream hStream, CUgraph hGraph, const CUgraphNode* dependencies,
                                     const CUgraphEdgeData*, size_t numDependencies, CUstreamCaptureMode mode) {
  return initialised([&]() -> CUresult {
    auto graph = fromHandle<Graph>(hGraph);
    if (!graph || (numDependencies > 0 && !dependencies)) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphNode*> nodes;
    const CUresult status = readNodes(*graph, dependencies, numDependencies, nodes);
    return status == CUDA_SUCCESS ? begin(hStream, mode, std::move(graph), std::move(nodes), true) : status;
  });
}

CUresult cuStreamEndCapture(CUstream hStream, CUgraph* phGraph) {
  return onStream(hStream, [&](const StreamUse& use) -> CUresult {
    if (!phGraph) return CUDA_ERROR_INVALID_VALUE;
    *phGraph = nullptr;
    std::shared_ptr<Graph> graph;
    const CUresult status = endCapture(use.stream, graph);
    if (status == CUDA_SUCCESS) *phGraph = asHandle<CUgraph>(handles<Graph>().add(std::move(graph)));
    return status;
  });
}

CUresult cuStreamIsCapturing(CUstream hStream, CUstreamCaptureStatus* captureStatus) {
  CaptureInfo unused;
  return getInfo(hStream, captureStatus, unused);
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return initialised([&] {
    if (!mode || *mode < CU_STREAM_CAPTURE_MODE_GLOBAL || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
      return CUDA_ERROR_INVALID_VALUE;
    std::swap(*mode, threadCaptureMode());
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetCaptureInfo_v3(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
                                   CUgraph* graph_out, const CUgraphNode** dependencies_out,
                                   const CUgraphEdgeData** edgeData_out, size_t* numDependencies_out) {
  CaptureInfo info;
  const CUresult status = getInfo(hStream, captureStatus_out, info);
  if (status != CUDA_SUCCESS) return status;
  if (id_out) *id_out = info.id;
  if (graph_out) *graph_out = info.graph;
  if (dependencies_out) *dependencies_out = info.dependencies;
  if (edgeData_out) *edgeData_out = nullptr;
  if (numDependencies_out) *numDependencies_out = info.count;
  return CUDA_SUCCESS;
}

CUresult cuStreamGetCaptureInfo_v2(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
                                   CUgraph* graph_out, const CUgraphNode** dependencies_out,
                                   size_t* numDependencies_out) {
  return cuStreamGetCaptureInfo_v3(hStream, captureStatus_out, id_out, graph_out, dependencies_out, nullptr,
                                   numDependencies_out);
}

CUresult cuStreamGetCaptureInfo(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out) {
  return cuStreamGetCaptureInfo_v3(hStream, captureStatus_out, id_out, nullptr, nullptr, nullptr, nullptr);
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream hStream, CUgraphNode* dependencies, const CUgraphEdgeData*,
                                              size_t numDependencies, unsigned int flags) {
  return updateDependencies(hStream, dependencies, numDependencies, flags);
}

CUresult cuStreamUpdateCaptureDependencies(CUstream hStream, CUgraphNode* dependencies, size_t numDependencies,
                                           unsigned int flags) {
  return updateDependencies(hStream, dependencies, numDependencies, flags);
}
