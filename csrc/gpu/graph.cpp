// SPDX-License-Identifier: Apache-2.0
#include "gpu/graph.h"

#include <algorithm>
#include <bit>

namespace pw::gpu {
namespace {

/// Blocks of the smallest grid that leaves room for other plans: surplus ones cost next to nothing.
constexpr unsigned kFewestBlocks = 8;

template <class T>
void append(std::string* bytes, const T& value) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class... Parts>
std::string stepOf(char kind, const Parts&... parts) {
  std::string bytes(1, kind);
  (append(&bytes, parts), ...);
  return bytes;
}

std::string launchStep(const Kernel& kernel, Dim3 grid, Dim3 block, unsigned sharedBytes, const void* params,
                       size_t paramBytes) {
  std::string step = stepOf('l', kernel.function, grid, block, sharedBytes);
  return step.append(static_cast<const char*>(params), paramBytes);
}

std::string bytesOf(const void* data, size_t bytes) { return {static_cast<const char*>(data), bytes}; }

}  // namespace

std::shared_ptr<const std::string> opsOf(const CommandList& list) {
  std::vector<std::string> names;
  for (const Command& command : list.commands)
    if (std::find(names.begin(), names.end(), command.name) == names.end()) names.emplace_back(command.name);
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "(" : ", ") + name;
  return std::make_shared<const std::string>(joined + ")");
}

GpuGraph::GpuGraph(const Resources& resources, const CommandList& list)
    : resources_(resources),
      commands_(list.commands.size()),
      memory_(resources.memory),
      scratch_(resources.memory),
      ops_(opsOf(list)) {
  resources_.primary->check(driver().eventCreate(&ended_, kEventDisableTiming), "cuEventCreate");
  errors_ = static_cast<pw_gpu_error*>(memory_.take(commands_.size() * sizeof(pw_gpu_error)));
}

GpuGraph::~GpuGraph() {
  const PrimaryContext::Scope scope(*resources_.primary);
  if (executable_) driver().graphExecDestroy(executable_);
  driver().eventDestroy(ended_);
}

void GpuGraph::launch(GpuStream& stream, const std::vector<std::pair<void*, std::string>>& refills,
                      const CommandList& list) {
  const PrimaryContext& primary = *resources_.primary;
  if (lastStream_ && lastStream_ != stream.handle())
    primary.check(driver().streamWaitEvent(stream.handle(), ended_, 0), "cuStreamWaitEvent");
  lastStream_ = stream.handle();
  for (const auto& [to, bytes] : refills) stream.copyIn(to, bytes.data(), bytes.size());
  stream.replays(ops_);
  primary.check(driver().graphLaunch(executable_, stream.handle()), "cuGraphLaunch");
  ++resources_.counters->graphLaunches;
  if (reportsErrors_) {
    const auto* words =
        static_cast<const pw_gpu_error*>(stream.fetch(errors_, commands_.size() * sizeof(pw_gpu_error)));
    for (size_t i = 0; i < commands_.size(); ++i)
      if (commands_[i].error) stream.current().errors.emplace_back(words + i, list.commands[i].name);
  }
  primary.check(driver().eventRecord(ended_, stream.handle()), "cuEventRecord");
}

GraphCapture::GraphCapture(const Resources& resources, GpuStream& stream, const CommandList& list)
    : resources_(resources), stream_(stream), graph_(makeRef<GpuGraph>(resources, list)) {
  resources_.primary->check(driver().streamBeginCapture(stream.handle(), kCaptureRelaxed), "cuStreamBeginCapture");
  isOpen_ = true;
  stream_.zero(graph_->errors_, list.commands.size() * sizeof(pw_gpu_error));
}

GraphCapture::~GraphCapture() {
  if (!isOpen_) return;
  CUgraph graph = nullptr;
  driver().streamEndCapture(stream_.handle(), &graph);
  if (graph) driver().graphDestroy(graph);
}

void GraphCapture::beginCommand(size_t index) {
  command_ = &graph_->commands_[index];
  graph_->scratch_.rewind();
}

void GraphCapture::endCommand(bool resolvedPlan) {
  command_->isDynamic = resolvedPlan || command_->isDynamic;
  if (!command_->isDynamic) command_->steps.clear();
}

Ref<GpuGraph> GraphCapture::finish() {
  isOpen_ = false;
  CUgraph graph = nullptr;
  resources_.primary->check(driver().streamEndCapture(stream_.handle(), &graph), "cuStreamEndCapture");
  const CUresult result = driver().graphInstantiate(&graph_->executable_, graph, 0);
  driver().graphDestroy(graph);
  resources_.primary->check(result, "cuGraphInstantiate");
  ++resources_.counters->graphCaptures;
  return graph_;
}

void GraphCapture::launch(const Kernel& kernel, Dim3 grid, Dim3 block, unsigned sharedBytes, const void* params,
                          size_t paramBytes) {
  stream_.launch(kernel, grid, block, sharedBytes, params, paramBytes);
  command_->steps.push_back(launchStep(kernel, grid, block, sharedBytes, params, paramBytes));
}

void GraphCapture::zero(void* p, size_t bytes) {
  stream_.zero(p, bytes);
  command_->steps.push_back(stepOf('z', p, bytes));
}

void GraphCapture::fill(void* p, size_t elementBytes, uint32_t pattern, size_t count) {
  stream_.fill(p, elementBytes, pattern, count);
  command_->steps.push_back(stepOf('f', p, elementBytes, pattern, count));
}

void GraphCapture::copy(void* to, const void* from, size_t bytes) {
  stream_.copy(to, from, bytes);
  command_->steps.push_back(stepOf('c', to, from, bytes));
}

void* GraphCapture::scratch(size_t, size_t capacity) {
  command_->scratch.push_back({graph_->scratch_.take(capacity), capacity});
  return command_->scratch.back().address;
}

const void* GraphCapture::upload(const void* data, size_t bytes, size_t capacity) {
  void* to = graph_->memory_.take(capacity);
  command_->uploads.push_back({to, capacity});
  command_->isDynamic = true;
  refills_.emplace_back(to, bytesOf(data, bytes));
  return to;
}

const void* GraphCapture::uploadOnce(uint64_t id, const void* data, size_t bytes, size_t capacity) {
  command_->isDynamic = true;
  void*& shared = once_[{id, data}];
  if (!shared) shared = const_cast<void*>(upload(data, bytes, capacity));
  return shared;
}

unsigned GraphCapture::gridCapacity(unsigned blocks) {
  command_->isDynamic = true;
  command_->gridCapacities.push_back(std::bit_ceil(std::max(blocks, kFewestBlocks)));
  return command_->gridCapacities.back();
}

pw_gpu_error* GraphCapture::errorWord() {
  graph_->reportsErrors_ = true;
  command_->error = graph_->errors_ + (command_ - graph_->commands_.data());
  return command_->error;
}

void GraphReplay::beginCommand(size_t index) {
  command_ = &graph_.commands_[index];
  scratch_ = uploads_ = grids_ = steps_ = 0;
}

void GraphReplay::endCommand() {
  if (scratch_ != command_->scratch.size() || uploads_ != command_->uploads.size() || steps_ != command_->steps.size())
    throw GraphMismatch{};
}

void GraphReplay::compare(const std::string& step) {
  if (steps_ == command_->steps.size() || command_->steps[steps_] != step) throw GraphMismatch{};
  ++steps_;
}

void GraphReplay::launch(const Kernel& kernel, Dim3 grid, Dim3 block, unsigned sharedBytes, const void* params,
                         size_t paramBytes) {
  compare(launchStep(kernel, grid, block, sharedBytes, params, paramBytes));
}

void GraphReplay::zero(void* p, size_t bytes) { compare(stepOf('z', p, bytes)); }

void GraphReplay::fill(void* p, size_t elementBytes, uint32_t pattern, size_t count) {
  compare(stepOf('f', p, elementBytes, pattern, count));
}

void GraphReplay::copy(void* to, const void* from, size_t bytes) { compare(stepOf('c', to, from, bytes)); }

void* GraphReplay::scratch(size_t bytes, size_t) {
  if (scratch_ == command_->scratch.size() || bytes > command_->scratch[scratch_].capacity) throw GraphMismatch{};
  return command_->scratch[scratch_++].address;
}

const void* GraphReplay::upload(const void* data, size_t bytes, size_t) {
  if (uploads_ == command_->uploads.size() || bytes > command_->uploads[uploads_].capacity) throw GraphMismatch{};
  void* to = command_->uploads[uploads_++].address;
  refills_.emplace_back(to, bytesOf(data, bytes));
  return to;
}

const void* GraphReplay::uploadOnce(uint64_t id, const void* data, size_t bytes, size_t capacity) {
  void*& shared = once_[{id, data}];
  if (!shared) shared = const_cast<void*>(upload(data, bytes, capacity));
  return shared;
}

unsigned GraphReplay::gridCapacity(unsigned blocks) {
  if (grids_ == command_->gridCapacities.size() || blocks > command_->gridCapacities[grids_]) throw GraphMismatch{};
  return command_->gridCapacities[grids_++];
}

pw_gpu_error* GraphReplay::errorWord() {
  if (!command_->error) throw GraphMismatch{};
  return command_->error;
}

}  // namespace pw::gpu
