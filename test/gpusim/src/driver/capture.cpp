// SPDX-License-Identifier: Apache-2.0
#include "capture.h"

#include <algorithm>
#include <atomic>

#include "event.h"

namespace gpusim {
namespace {

std::atomic<int> captureCount{0};
std::atomic<uint64_t> nextCaptureId{1};

std::vector<std::shared_ptr<Capture>>& captures() {
  static auto* list = new std::vector<std::shared_ptr<Capture>>;
  return *list;
}

void mergeFrontier(std::vector<GraphNode*>& frontier, const std::vector<GraphNode*>& nodes) {
  for (GraphNode* node : nodes)
    if (std::find(frontier.begin(), frontier.end(), node) == frontier.end()) frontier.push_back(node);
}

void finish(const std::shared_ptr<Capture>& capture) {
  for (const auto& stream : capture->streams) {
    stream->capture.reset();
    stream->captureFrontier.clear();
  }
  capture->streams.clear();
  auto& list = captures();
  list.erase(std::remove(list.begin(), list.end(), capture), list.end());
  --captureCount;
}

// All work of forked streams must lead to what the origin stream depends on in the end.
bool joined(const Capture& capture) {
  const auto& last = capture.origin->captureFrontier;
  for (const auto& stream : capture.streams) {
    if (stream == capture.origin) continue;
    for (const GraphNode* node : stream->captureFrontier)
      if (std::none_of(last.begin(), last.end(),
                       [&](const GraphNode* end) { return capture.graph->reaches(node, end); }))
        return false;
  }
  return true;
}

}  // namespace

Capture::Capture(std::shared_ptr<Graph> graph, std::shared_ptr<Stream> origin, CUstreamCaptureMode mode, bool intoGraph)
    : graph(std::move(graph)),
      origin(std::move(origin)),
      mode(mode),
      intoGraph(intoGraph),
      thread(std::this_thread::get_id()),
      id(nextCaptureId++) {}

std::recursive_mutex& captureLock() {
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

bool anyCapture() { return captureCount.load() > 0; }

CUresult beginCapture(const std::shared_ptr<Stream>& stream, CUstreamCaptureMode mode, std::shared_ptr<Graph> graph,
                      std::vector<GraphNode*> dependencies, bool intoGraph) {
  if (mode < CU_STREAM_CAPTURE_MODE_GLOBAL || mode > CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(captureLock());
  if (stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
  auto capture = std::make_shared<Capture>(std::move(graph), stream, mode, intoGraph);
  capture->streams.push_back(stream);
  stream->capture = capture;
  stream->captureFrontier = std::move(dependencies);
  captures().push_back(std::move(capture));
  ++captureCount;
  return CUDA_SUCCESS;
}

CUresult endCapture(const std::shared_ptr<Stream>& stream, std::shared_ptr<Graph>& graph) {
  std::lock_guard lock(captureLock());
  const std::shared_ptr<Capture> capture = stream->capture;
  if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
  if (capture->origin != stream) {
    capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  }
  if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread != std::this_thread::get_id())
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  CUresult status = CUDA_SUCCESS;
  if (capture->invalid) {
    status = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  } else if (!joined(*capture)) {
    status = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  }
  finish(capture);
  if (status == CUDA_SUCCESS) graph = capture->graph;
  return status;
}

CUresult forbidDuringCapture() {
  if (!anyCapture() || threadCaptureMode() == CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_SUCCESS;
  std::lock_guard lock(captureLock());
  bool found = false;
  for (const auto& capture : captures()) {
    const bool mine = capture->thread == std::this_thread::get_id();
    const bool concerned = capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL
                               ? mine || threadCaptureMode() == CU_STREAM_CAPTURE_MODE_GLOBAL
                               : mine && capture->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    if (!concerned) continue;
    capture->invalid = true;
    found = true;
  }
  return found ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

void abandonCapture(const std::shared_ptr<Stream>& stream) {
  if (!anyCapture()) return;
  std::lock_guard lock(captureLock());
  const std::shared_ptr<Capture> capture = stream->capture;
  if (!capture) return;
  if (capture->origin == stream) {
    finish(capture);
  } else {
    capture->invalid = true;
  }
}

bool invalidateCapturesOf(const Context& context) {
  if (!anyCapture()) return false;
  std::lock_guard lock(captureLock());
  bool found = false;
  for (const auto& capture : captures()) {
    if (capture->origin->context.lock().get() != &context) continue;
    capture->invalid = true;
    found = true;
  }
  return found;
}

CUresult submit(const std::shared_ptr<Context>& context, const std::shared_ptr<Stream>& stream, CUgraphNodeType type,
                Work work, CompletionPtr* done, std::vector<CompletionPtr> dependencies) {
  if (done) done->reset();
  if (anyCapture()) {
    std::lock_guard lock(captureLock());
    if (const auto capture = stream->capture) {
      if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      stream->captureFrontier = {capture->graph->add(type, std::move(work), stream->captureFrontier)};
      return CUDA_SUCCESS;
    }
    // Work in the legacy stream would have to wait for the capturing stream, which does nothing yet.
    if (stream == context->legacyStream()) {
      bool found = false;
      for (const auto& other : context->streams()) {
        if (!other->capture || !other->blocking()) continue;
        other->capture->invalid = true;
        found = true;
      }
      if (found) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
  }
  CompletionPtr completion = context->enqueue(*stream, std::move(work), std::move(dependencies));
  if (done) *done = std::move(completion);
  return CUDA_SUCCESS;
}

bool captureRecord(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Event>& event, bool external,
                   CUresult& status) {
  if (!anyCapture()) return false;
  std::lock_guard lock(captureLock());
  const auto capture = stream->capture;
  if (!capture) return false;
  status = capture->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
  if (status != CUDA_SUCCESS) return true;
  if (external) {
    stream->captureFrontier = {
        capture->graph->add(CU_GRAPH_NODE_TYPE_EVENT_RECORD, EventRecordWork{event, nullptr}, stream->captureFrontier)};
  } else {
    event->recordCaptured(capture, stream->captureFrontier);
  }
  return true;
}

bool captureWait(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Event>& event, bool external,
                 CUresult& status) {
  if (!anyCapture()) return false;
  std::lock_guard lock(captureLock());
  std::vector<GraphNode*> nodes;
  const auto recorded = event->capture(&nodes);
  const auto capture = stream->capture;
  if (!capture && !recorded) return false;
  status = CUDA_SUCCESS;
  if (capture && capture->invalid) {
    status = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  } else if (external && capture) {
    stream->captureFrontier = {
        capture->graph->add(CU_GRAPH_NODE_TYPE_WAIT_EVENT, EventWaitWork{event}, stream->captureFrontier)};
  } else if (!recorded) {
    capture->invalid = true;
    status = CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  } else if (!capture) {
    if (recorded->invalid) {
      status = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      return true;
    }
    stream->capture = recorded;
    stream->captureFrontier = std::move(nodes);
    recorded->streams.push_back(stream);
  } else if (capture != recorded) {
    capture->invalid = recorded->invalid = true;
    status = CUDA_ERROR_STREAM_CAPTURE_MERGE;
  } else {
    mergeFrontier(stream->captureFrontier, nodes);
  }
  return true;
}

}  // namespace gpusim
