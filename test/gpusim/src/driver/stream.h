// SPDX-License-Identifier: Apache-2.0
// Streams: queues served by a thread each, with the legacy default stream's implicit ordering.
#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "completion.h"
#include "work.h"

namespace gpusim {

/// Range of stream priorities; lower numbers go first. Priorities are kept and reported, and have no effect.
inline constexpr int kLeastStreamPriority = 0;
inline constexpr int kGreatestStreamPriority = -5;

class Capture;
struct GraphNode;

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(std::weak_ptr<Context> context, unsigned flags, int priority);

  const std::weak_ptr<Context> context;
  const unsigned flags;
  int priority;
  const uint64_t id;

  bool blocking() const { return (flags & CU_STREAM_NON_BLOCKING) == 0; }

  /// Puts work behind everything enqueued before and behind `dependencies`; returns its completion.
  /// The thread that serves the stream starts with the first work and ends a while after the last.
  CompletionPtr enqueue(std::shared_ptr<Context> owner, Work work, std::vector<CompletionPtr> dependencies);

  /// Completion of the work enqueued last; null when there was none yet.
  CompletionPtr last() const;
  bool idle() const;

  // Capture state; guarded by the lock of captures (capture.h).
  std::shared_ptr<Capture> capture;
  std::vector<GraphNode*> captureFrontier;

 private:
  struct Item {
    std::shared_ptr<Context> context;
    Work work;
    std::vector<CompletionPtr> dependencies;
    CompletionPtr done;
  };
  void serve();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  CompletionPtr last_;
  bool serving_ = false;
};

/// Lets running work end (for at most a moment) and skips all that is queued; called when the process ends.
void quiesceStreams();
bool shuttingDown();

}  // namespace gpusim
