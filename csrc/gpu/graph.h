// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gpu/arena.h"
#include "gpu/gpu_stream.h"

namespace pw::gpu {

/// Thrown through a command list by what cannot be part of a CUDA graph: such a list runs command by command.
struct Uncapturable {};
/// Thrown when a command, run again for a replay, does something else than was captured.
struct GraphMismatch {};

/// What a captured command did, in order: enough to run it again on the host and see whether it would do the same.
struct CapturedCommand {
  struct Piece {
    void* address;
    size_t capacity;
  };
  std::vector<Piece> scratch, uploads;
  std::vector<unsigned> gridCapacities;
  /// Launches, fills and copies, as bytes to compare.
  std::vector<std::string> steps;
  pw_gpu_error* error = nullptr;
  /// Its inputs may change from replay to replay.
  bool isDynamic = false;
};

/// The ops of a list, each once, for messages.
std::shared_ptr<const std::string> opsOf(const CommandList& list);

/// A command list as a CUDA graph, with the memory that its commands work in.
class GpuGraph final : public RefCounted {
 public:
  GpuGraph(const Resources& resources, const CommandList& list);
  ~GpuGraph() override;

  /// Enqueues the graph after what the stream has so far, and the reading of its error words.
  /// @param refills bytes to upload before: device address and contents
  void launch(GpuStream& stream, const std::vector<std::pair<void*, std::string>>& refills, const CommandList& list);

 private:
  friend class GraphCapture;
  friend class GraphReplay;

  /// A copy: command lists may outlive the executor.
  const Resources resources_;
  std::vector<CapturedCommand> commands_;
  Arena memory_, scratch_;
  /// The names of its commands.
  std::shared_ptr<const std::string> ops_;
  /// One error word per command, zeroed by the graph itself.
  pw_gpu_error* errors_ = nullptr;
  bool reportsErrors_ = false;
  CUgraphExec executable_ = nullptr;
  /// Reached when the last launch has ended; launches on another stream wait for it.
  CUevent ended_ = nullptr;
  CUstream lastStream_ = nullptr;
};

/// Captures a command list: launches go into the graph, uploads are collected for the first launch.
class GraphCapture final : public Target {
 public:
  /// The stream captures while this lives.
  GraphCapture(const Resources& resources, GpuStream& stream, const CommandList& list);
  ~GraphCapture() override;

  void beginCommand(size_t index);
  void endCommand(bool resolvedPlan);
  /// Ends the capture.
  Ref<GpuGraph> finish();
  const std::vector<std::pair<void*, std::string>>& refills() const noexcept { return refills_; }

  void launch(const Kernel& kernel, Dim3 grid, Dim3 block, unsigned sharedBytes, const void* params,
              size_t paramBytes) override;
  void zero(void* p, size_t bytes) override;
  void fill(void* p, size_t elementBytes, uint32_t pattern, size_t count) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void* scratch(size_t bytes, size_t capacity) override;
  const void* upload(const void* data, size_t bytes, size_t capacity) override;
  const void* uploadOnce(uint64_t id, const void* data, size_t bytes, size_t capacity) override;
  unsigned gridCapacity(unsigned blocks) override;
  pw_gpu_error* errorWord() override;
  bool isCaptured() const noexcept override { return true; }

 private:
  const Resources& resources_;
  GpuStream& stream_;
  Ref<GpuGraph> graph_;
  CapturedCommand* command_ = nullptr;
  std::vector<std::pair<void*, std::string>> refills_;
  std::map<std::pair<uint64_t, const void*>, void*> once_;
  bool isOpen_ = false;
};

/// Runs the dynamic commands of a captured list again, for a replay: collects what they upload, and compares the rest.
class GraphReplay final : public Target {
 public:
  explicit GraphReplay(GpuGraph& graph) : graph_(graph) {}

  bool needs(size_t index) const { return graph_.commands_[index].isDynamic; }
  void beginCommand(size_t index);
  /// @throws GraphMismatch when the command did less than was captured
  void endCommand();
  const std::vector<std::pair<void*, std::string>>& refills() const noexcept { return refills_; }

  void launch(const Kernel& kernel, Dim3 grid, Dim3 block, unsigned sharedBytes, const void* params,
              size_t paramBytes) override;
  void zero(void* p, size_t bytes) override;
  void fill(void* p, size_t elementBytes, uint32_t pattern, size_t count) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void* scratch(size_t bytes, size_t capacity) override;
  const void* upload(const void* data, size_t bytes, size_t capacity) override;
  const void* uploadOnce(uint64_t id, const void* data, size_t bytes, size_t capacity) override;
  unsigned gridCapacity(unsigned blocks) override;
  pw_gpu_error* errorWord() override;
  bool isCaptured() const noexcept override { return true; }

 private:
  void compare(const std::string& step);

  GpuGraph& graph_;
  const CapturedCommand* command_ = nullptr;
  size_t scratch_ = 0, uploads_ = 0, grids_ = 0, steps_ = 0;
  std::vector<std::pair<void*, std::string>> refills_;
  std::map<std::pair<uint64_t, const void*>, void*> once_;
};

}  // namespace pw::gpu
