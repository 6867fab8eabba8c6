// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "completion.h"
#include "cuda_types.h"

namespace gpusim {

class Context;
class Capture;
struct GraphNode;

/// A CUevent: the completion of what was last recorded, or the graph nodes when that was in a capture.
class Event {
 public:
  Event(std::shared_ptr<Context> context, unsigned flags) : context(std::move(context)), flags(flags) {}

  const std::shared_ptr<Context> context;
  const unsigned flags;

  void record(CompletionPtr completion) {
    std::lock_guard lock(mutex_);
    completion_ = std::move(completion);
    capture_.reset();
    captured_ = false;
    nodes_.clear();
  }
  void recordCaptured(const std::shared_ptr<Capture>& capture, std::vector<GraphNode*> nodes) {
    std::lock_guard lock(mutex_);
    capture_ = capture;
    captured_ = true;
    nodes_ = std::move(nodes);
  }
  /// Null when the event was never recorded.
  CompletionPtr completion() const {
    std::lock_guard lock(mutex_);
    return completion_;
  }
  /// True when the last record was in a capture, so that the event says nothing of work that runs.
  bool captured() const {
    std::lock_guard lock(mutex_);
    return captured_;
  }
  /// The capture that the event was last recorded in; null when that was not in a capture which is still going on.
  std::shared_ptr<Capture> capture(std::vector<GraphNode*>* nodes = nullptr) const {
    std::lock_guard lock(mutex_);
    if (nodes) *nodes = nodes_;
    return capture_.lock();
  }

 private:
  mutable std::mutex mutex_;
  CompletionPtr completion_;
  std::weak_ptr<Capture> capture_;
  bool captured_ = false;
  std::vector<GraphNode*> nodes_;
};

}  // namespace gpusim
