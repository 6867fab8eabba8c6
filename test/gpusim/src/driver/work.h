// SPDX-License-Identifier: Apache-2.0
// What a stream does and what a graph node holds: one description, one way to carry it out.
#pragma once
#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "completion.h"
#include "cuda_types.h"
#include "engine.h"

namespace gpusim {

class Context;
class Event;
class Graph;
class MemoryPool;
class ExecutableGraph;
struct Function;

struct EmptyWork {};

struct KernelWork {
  std::shared_ptr<Function> function;
  LaunchConfig config;
  int priority = 0;
};

/// A box of bytes moved between two pitched layouts; rows are contiguous. Addresses are host or device addresses alike.
struct CopyWork {
  uint64_t source = 0;
  uint64_t destination = 0;
  size_t sourcePitch = 0, sourceSlice = 0;
  size_t destinationPitch = 0, destinationSlice = 0;
  size_t width = 0, height = 1, depth = 1;
  /// Set when the source was pageable host memory at the time of an asynchronous copy: the bytes, taken then.
  std::shared_ptr<const std::vector<uint8_t>> staged;
  CUDA_MEMCPY3D described{};  ///< as the program gave it, for node parameter queries
};

struct FillWork {
  uint64_t destination = 0;
  size_t pitch = 0;
  uint32_t value = 0;
  unsigned elementSize = 1;
  size_t width = 0;  ///< in elements
  size_t height = 1;
};

struct HostWork {
  CUhostFn function = nullptr;
  void* userData = nullptr;
};

/// cuStreamAddCallback: runs even after an error, which it is told.
struct CallbackWork {
  CUstreamCallback function = nullptr;
  CUstream stream = nullptr;
  void* userData = nullptr;
};

/// A record that was promised at a graph's launch: it ends when the node is reached, or when the launch is dropped.
struct PendingRecord {
  CompletionPtr completion = std::make_shared<Completion>();
  PendingRecord() = default;
  PendingRecord(const PendingRecord&) = delete;
  PendingRecord& operator=(const PendingRecord&) = delete;
  ~PendingRecord() { finish(); }
  void finish() {
    if (!completion->done()) completion->finish();
  }
};

/// An event's record inside a graph.
struct EventRecordWork {
  std::shared_ptr<Event> event;
  std::shared_ptr<PendingRecord> pending;  ///< set in what is launched
};

/// An event's wait inside a graph.
struct EventWaitWork {
  std::shared_ptr<Event> event;
};

struct WriteValueWork {
  uint64_t address = 0;
  uint64_t value = 0;
  unsigned bytes = 4;
};

struct WaitValueWork {
  uint64_t address = 0;
  uint64_t value = 0;
  unsigned bytes = 4;
  unsigned flags = 0;
};

struct FreeWork {
  uint64_t address = 0;
  uint64_t size = 0;
  std::shared_ptr<MemoryPool> pool;  ///< null for memory that came from cuMemAlloc
};

/// A graph's launch, and a child graph's node.
struct GraphWork {
  std::shared_ptr<const ExecutableGraph> graph;
  std::shared_ptr<Graph> source;  ///< of a child node: the graph as the program sees it
  uint64_t salt = 0;              ///< running number of the launch; varies the order of independent nodes
};

using Work = std::variant<EmptyWork, KernelWork, CopyWork, FillWork, HostWork, CallbackWork, EventRecordWork,
                          EventWaitWork, WriteValueWork, WaitValueWork, FreeWork, GraphWork>;

/// Carries the work out on the calling thread, to its end. The result is what a later synchronising call reports.
/// Kernels call `stalled` when they wait for something (LaunchConfig::stalled).
CUresult perform(const Work& work, Context& context, const std::function<void()>& stalled = {});

/// True on a thread that is running a host function or stream callback, where calling the API is not permitted.
bool inHostFunction();

}  // namespace gpusim
