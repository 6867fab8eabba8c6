// SPDX-License-Identifier: Apache-2.0
#include "gpu/executor.h"

#include "core/engine.h"
#include "core/error.h"
#include "gpu/event.h"
#include "gpu/ops.h"
#include "gpu/rows.h"
#include "pagewarp/matrix_layout.h"

namespace pw::gpu {
namespace {

/// What a pw::Stream keeps of its GpuStream, which the executor owns: when the former goes, the latter may.
class StreamHandle final : public RefCounted {
 public:
  explicit StreamHandle(GpuStream& stream) : stream(&stream), isAbandoned_(stream.isAbandoned) {}
  ~StreamHandle() override { *isAbandoned_ = true; }
  GpuStream* const stream;

 private:
  const std::shared_ptr<std::atomic<bool>> isAbandoned_;
};

}  // namespace

GpuExecutor::GpuExecutor(Resources resources) : resources_(std::move(resources)) {}

void GpuExecutor::start() {
  resources_.primary->makeCurrent();
  modules_ = std::make_unique<Modules>(*resources_.primary);
  context_ = std::make_unique<Context>(*modules_, resources_.primary->properties());
}

void GpuExecutor::stop() {
  for (const auto& stream : streams_) stream->flush();
  streams_.clear();
  context_.reset();
  modules_.reset();
}

GpuStream& GpuExecutor::streamOf(const Ref<Stream>& stream) {
  if (!stream->backend) {
    dropAbandoned();
    streams_.push_back(std::make_unique<GpuStream>(resources_, *modules_));
    stream->backend = makeRef<StreamHandle>(*streams_.back());
    if (stream->isDefault()) default_ = streams_.back().get();
  }
  return *static_cast<StreamHandle&>(*stream->backend).stream;
}

void GpuExecutor::dropAbandoned() {
  for (size_t i = streams_.size(); i-- > 0;) {
    GpuStream* stream = streams_[i].get();
    if (!*stream->isAbandoned || !stream->isIdle()) continue;
    if (stream == default_) default_ = nullptr;
    for (const auto& other : streams_) other->forget(stream);
    streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void GpuExecutor::joinDefault(GpuStream& target, bool isDefault) {
  if (isDefault) {
    for (const auto& other : streams_)
      if (other.get() != &target) target.waitFor(*other);
  } else if (default_) {
    target.waitFor(*default_);
  }
}

void GpuExecutor::begin(const Ref<Stream>& stream, const Command& command) {
  current_ = nullptr;
  resources_.primary->requireUsable();
  GpuStream& target = streamOf(stream);
  target.begin(stream, command.name);
  joinDefault(target, stream->isDefault());
  current_ = &target;
  context_->setTarget(&target);
}

void GpuExecutor::end(Ref<Stream> stream, Command command, pw_status status, std::string message) {
  if (current_)
    current_->end(std::move(command), status, std::move(message));
  else
    Executor::end(std::move(stream), std::move(command), status, std::move(message));
  current_ = nullptr;
}

void GpuExecutor::idle() {
  for (const auto& stream : streams_) stream->flush();
  dropAbandoned();
}

void GpuExecutor::requireStream() const {
  if (&context_->target() != current_) throw Uncapturable{};
}

void GpuExecutor::replayOneByOne(const CommandList& list) {
  current_->replays(opsOf(list));
  for (const Command& command : list.commands) {
    runNamed(command, *this);
    if (!resources_.synchronous) continue;
    const CUresult result = driver().streamSynchronize(current_->handle());
    if (result != kCudaSuccess) resources_.primary->lose(result, command.name);
    resources_.primary->requireUsable();
  }
}

Ref<GpuGraph> GpuExecutor::captureGraph(const CommandList& list) {
  GraphCapture capture(resources_, *current_, list);
  context_->setTarget(&capture);
  for (size_t i = 0; i < list.commands.size(); ++i) {
    capture.beginCommand(i);
    resolved_ = false;
    runNamed(list.commands[i], *this);
    capture.endCommand(resolved_);
  }
  context_->setTarget(current_);
  Ref<GpuGraph> graph = capture.finish();
  graph->launch(*current_, capture.refills(), list);
  return graph;
}

bool GpuExecutor::replayGraph(GpuGraph& graph, const CommandList& list) {
  GraphReplay replay(graph);
  context_->setTarget(&replay);
  try {
    for (size_t i = 0; i < list.commands.size(); ++i) {
      if (!replay.needs(i)) continue;
      replay.beginCommand(i);
      runNamed(list.commands[i], *this);
      replay.endCommand();
    }
  } catch (const GraphMismatch&) {
    return false;
  }
  context_->setTarget(current_);
  graph.launch(*current_, replay.refills(), list);
  return true;
}

int32_t GpuExecutor::readIndex(const pw_tensor& index) {
  requireStream();
  return current_->readNow(index.data);
}

void GpuExecutor::replay(CommandList& list, Substitutions substitutions) {
  const Substituted scope(*this, std::move(substitutions));
  if (resources_.synchronous || list.isUncapturable) return replayOneByOne(list);
  if (auto* graph = static_cast<GpuGraph*>(list.compiled.get())) {
    if (replayGraph(*graph, list)) return;
    // It may still be running.
    current_->current().holds.push_back(std::move(list.compiled));
  }
  try {
    list.compiled = captureGraph(list);
  } catch (const Uncapturable&) {
    list.isUncapturable = true;
    context_->setTarget(current_);
    replayOneByOne(list);
  }
}

void GpuExecutor::recordEvent(const Ref<Event>& event, uint64_t recording) {
  requireStream();
  const Ref<GpuEventMark> mark = makeRef<GpuEventMark>(resources_.primary, current_->handle());
  event->setMark(mark);
  current_->current().holds.emplace_back(mark);
  current_->current().notifications.push_back([event, recording] { event->complete(recording); });
}

void GpuExecutor::waitEvent(const Ref<Event>& event, uint64_t recording, bool recordedHere,
                            const std::atomic<bool>& cancelled) {
  requireStream();
  if (!recordedHere) {
    for (const auto& stream : streams_) stream->flush();
    return event->wait(recording, cancelled);
  }
  const Ref<EventMark> mark = event->mark();
  if (!mark) return;
  resources_.primary->check(driver().streamWaitEvent(current_->handle(), static_cast<GpuEventMark&>(*mark).event(), 0),
                            "cuStreamWaitEvent");
  current_->current().holds.emplace_back(mark);
}

void GpuExecutor::copy(const pw_tensor& from, const pw_tensor& to) { gpu::copy(*context_, from, to); }

void GpuExecutor::upload(const void* from, const pw_tensor& to) {
  const size_t bytes = byteCount(to);
  const bool staged = !isContiguous(to);
  pw_tensor dense = contiguousLike(to);
  if (staged) dense.data = context_->scratch(bytes);
  if (&context_->target() == current_)
    current_->copyIn(dense.data, from, bytes);
  else
    context_->copy(dense.data, context_->upload(from, bytes), bytes);
  if (staged) gpu::copy(*context_, dense, to);
}

void GpuExecutor::download(const pw_tensor& from, void* to) {
  requireStream();
  pw_tensor dense = contiguousLike(from);
  if (!isContiguous(from)) {
    dense.data = context_->scratch(byteCount(from));
    gpu::copy(*context_, from, dense);
  }
  current_->copyOut(to, dense.data, byteCount(from));
}

void GpuExecutor::fill(const pw_tensor& to, double value) { gpu::fill(*context_, to, value); }

void GpuExecutor::attention(const pw_attention_args& args) { gpu::attention(*context_, args); }
void GpuExecutor::mergeStates(const pw_merge_states_args& args) { gpu::mergeStates(*context_, args); }
void GpuExecutor::appendKv(const pw_append_kv_args& args) { gpu::appendKv(*context_, args); }
void GpuExecutor::ropeAppendKv(const pw_rope_append_kv_args& args) { gpu::ropeAppendKv(*context_, args); }
void GpuExecutor::keyBounds(const pw_key_bounds_args& args) { gpu::keyBounds(*context_, args); }
void GpuExecutor::gatherKv(const pw_gather_kv_args& args) { gpu::gatherKv(*context_, args); }
void GpuExecutor::copyPages(const pw_copy_pages_args& args) { gpu::copyPages(*context_, args); }
void GpuExecutor::moveSlots(const pw_move_slots_args& args) { gpu::moveSlots(*context_, args); }
void GpuExecutor::packMatrix(const PackMatrix& args) {
  requireStream();
  const auto copyIn = [this](void* to, const void* from, size_t bytes) { current_->copyIn(to, from, bytes); };
  gpu::packMatrix(*context_, args, copyIn);
}
void GpuExecutor::quantize(const pw_quantize_args& args) {
  if (isPacked(args.weight.format)) return quantizePacked(*context_, args);
  gpu::copy(*context_, args.x, denseView(args.weight));
}
void GpuExecutor::linear(const pw_linear_args& args) {
  isPacked(args.weight.format) ? linearPacked(*context_, args) : linearDense(*context_, args);
}
void GpuExecutor::embedding(const pw_embedding_args& args) {
  isPacked(args.weight.format) ? embeddingPacked(*context_, args) : gpu::embedding(*context_, args);
}
void GpuExecutor::gatherRows(const pw_gather_rows_args& args) { gpu::gatherRows(*context_, args); }
void GpuExecutor::rmsNorm(const pw_rmsnorm_args& args) { gpu::rmsNorm(*context_, args); }
void GpuExecutor::ropeTable(const pw_rope_table_args& args) { gpu::ropeTable(*context_, args); }
void GpuExecutor::rope(const pw_rope_args& args) { gpu::rope(*context_, args); }
void GpuExecutor::gated(const pw_gated_args& args) { gpu::gated(*context_, args); }
void GpuExecutor::argmax(const pw_argmax_args& args) { gpu::argmax(*context_, args); }
void GpuExecutor::sample(const pw_sample_args& args) { gpu::sample(*context_, args); }
void GpuExecutor::verify(const pw_verify_args& args) { gpu::verify(*context_, args); }
void GpuExecutor::drawCandidates(const pw_candidates_args& args) { gpu::drawCandidates(*context_, args); }

}  // namespace pw::gpu
