// SPDX-License-Identifier: Apache-2.0
// Stream capture: streams that record work into a graph instead of doing it.
#pragma once
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "graph.h"
#include "stream.h"

namespace gpusim {

class Capture : public std::enable_shared_from_this<Capture> {
 public:
  Capture(std::shared_ptr<Graph> graph, std::shared_ptr<Stream> origin, CUstreamCaptureMode mode, bool intoGraph);

  const std::shared_ptr<Graph> graph;
  const std::shared_ptr<Stream> origin;
  const CUstreamCaptureMode mode;
  const bool intoGraph;  ///< the program owns the graph (cuStreamBeginCaptureToGraph)
  const std::thread::id thread;
  const uint64_t id;
  bool invalid = false;
  std::vector<std::shared_ptr<Stream>> streams;  ///< all that take part, the origin first
};

/// Guards every capture and the capture fields of all streams. Recursive, because a call may both look and record.
std::recursive_mutex& captureLock();

/// True when any stream of the process captures; cheap.
bool anyCapture();

CUresult beginCapture(const std::shared_ptr<Stream>& stream, CUstreamCaptureMode mode, std::shared_ptr<Graph> graph,
                      std::vector<GraphNode*> dependencies, bool intoGraph);
CUresult endCapture(const std::shared_ptr<Stream>& stream, std::shared_ptr<Graph>& graph);

/// To be called first by every function that could synchronise in a hidden way (allocation, synchronous copies, ...):
/// fails, and invalidates the captures concerned, where the thread's capture mode forbids that.
CUresult forbidDuringCapture();

/// Ends the use of a stream that is destroyed.
void abandonCapture(const std::shared_ptr<Stream>& stream);

/// Invalidates captures of the context's streams; returns whether there was one.
bool invalidateCapturesOf(const Context& context);

/// Enqueues work, or records it when the stream captures. `node`, where given, receives the recorded node.
/// With `done`, the completion of enqueued work (null when it was recorded).
CUresult submit(const std::shared_ptr<Context>& context, const std::shared_ptr<Stream>& stream, CUgraphNodeType type,
                Work work, CompletionPtr* done = nullptr, std::vector<CompletionPtr> dependencies = {});

/// cuEventRecord and cuStreamWaitEvent in a capture: false when the stream does not capture and (for the wait) the
/// event was not recorded in one, so that the ordinary meaning applies; else `status` is the call's result.
bool captureRecord(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Event>& event, bool external,
                   CUresult& status);
bool captureWait(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Event>& event, bool external,
                 CUresult& status);

}  // namespace gpusim
