// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <vector>

#include "core/executor.h"
#include "gpu/context.h"
#include "gpu/graph.h"

namespace pw::gpu {

/// Launches every op on a GPU. The engine thread only launches: what commands hold lives on until the GPU has finished.
class GpuExecutor final : public Executor {
 public:
  explicit GpuExecutor(Resources resources);

  /// For commands that launch kernels of their own.
  Context& context() noexcept { return *context_; }

  void start() override;
  void stop() override;
  void begin(const Ref<Stream>& stream, const Command& command) override;
  void end(Ref<Stream> stream, Command command, pw_status status, std::string message) override;
  void idle() override;
  void recordEvent(const Ref<Event>& event, uint64_t recording) override;
  void waitEvent(const Ref<Event>& event, uint64_t recording, bool recordedHere,
                 const std::atomic<bool>& cancelled) override;
  /// The engine thread waits for the GPU: nothing is launched meanwhile, on any stream.
  int32_t readIndex(const pw_tensor& index) override;
  void replay(CommandList& list, Substitutions substitutions) override;
  /// Errors are reported when commands end.
  pw_status takeError(std::string*) override { return PW_OK; }

  void copy(const pw_tensor& from, const pw_tensor& to) override;
  void upload(const void* from, const pw_tensor& to) override;
  void download(const pw_tensor& from, void* to) override;
  void fill(const pw_tensor& to, double value) override;
  void attention(const pw_attention_args& args) override;
  void mergeStates(const pw_merge_states_args& args) override;
  void appendKv(const pw_append_kv_args& args) override;
  void ropeAppendKv(const pw_rope_append_kv_args& args) override;
  void gatherKv(const pw_gather_kv_args& args) override;
  void keyBounds(const pw_key_bounds_args& args) override;
  void copyPages(const pw_copy_pages_args& args) override;
  void moveSlots(const pw_move_slots_args& args) override;
  void packMatrix(const PackMatrix& args) override;
  void quantize(const pw_quantize_args& args) override;
  void linear(const pw_linear_args& args) override;
  void embedding(const pw_embedding_args& args) override;
  void gatherRows(const pw_gather_rows_args& args) override;
  void rmsNorm(const pw_rmsnorm_args& args) override;
  void ropeTable(const pw_rope_table_args& args) override;
  void rope(const pw_rope_args& args) override;
  void gated(const pw_gated_args& args) override;
  void argmax(const pw_argmax_args& args) override;
  void sample(const pw_sample_args& args) override;
  void verify(const pw_verify_args& args) override;
  void drawCandidates(const pw_candidates_args& args) override;

 private:
  GpuStream& streamOf(const Ref<Stream>& stream);
  /// Work that cannot be in a graph. @throws Uncapturable while a graph is captured
  void requireStream() const;
  void replayOneByOne(const CommandList& list);
  /// Launches the list's graph. False when it does not fit any more.
  bool replayGraph(GpuGraph& graph, const CommandList& list);
  Ref<GpuGraph> captureGraph(const CommandList& list);
  void dropAbandoned();
  /// Orders what follows on `target` after all that it has to come after because of the default stream.
  void joinDefault(GpuStream& target, bool isDefault);

  const Resources resources_;
  std::unique_ptr<Modules> modules_;
  std::unique_ptr<Context> context_;
  std::vector<std::unique_ptr<GpuStream>> streams_;
  GpuStream* default_ = nullptr;
  /// Where the running command goes.
  GpuStream* current_ = nullptr;
};

}  // namespace pw::gpu
