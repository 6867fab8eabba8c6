// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/matrix/pack.h"
#include "core/ref.h"
#include "pagewarp/activation.h"
#include "pagewarp/attention.h"
#include "pagewarp/embedding.h"
#include "pagewarp/key_bounds.h"
#include "pagewarp/kvcache.h"
#include "pagewarp/linear.h"
#include "pagewarp/norm.h"
#include "pagewarp/quantize.h"
#include "pagewarp/quantizer.h"
#include "pagewarp/rope.h"
#include "pagewarp/rope_append.h"
#include "pagewarp/sample.h"
#include "pagewarp/status.h"
#include "pagewarp/tensor.h"
#include "pagewarp/verify.h"

namespace pw {

struct Command;
class CommandList;
class Event;
class Stream;

/// What commands run on: one implementation per backend, one virtual function per op. Arguments were validated when the
/// command was enqueued; what can only be seen while running comes back through takeError().
class Executor {
 public:
  virtual ~Executor() = default;

  /// Copies elements between tensors of one shape, converting between dtypes.
  virtual void copy(const pw_tensor& from, const pw_tensor& to) = 0;
  /// Host memory (contiguous, the tensor's dtype) to device, and back.
  virtual void upload(const void* from, const pw_tensor& to) = 0;
  virtual void download(const pw_tensor& from, void* to) = 0;
  virtual void fill(const pw_tensor& to, double value) = 0;

  virtual void attention(const pw_attention_args& args) = 0;
  virtual void mergeStates(const pw_merge_states_args& args) = 0;
  virtual void appendKv(const pw_append_kv_args& args) = 0;
  virtual void ropeAppendKv(const pw_rope_append_kv_args& args) = 0;
  virtual void gatherKv(const pw_gather_kv_args& args) = 0;
  virtual void keyBounds(const pw_key_bounds_args& args) = 0;
  virtual void copyPages(const pw_copy_pages_args& args) = 0;
  virtual void moveSlots(const pw_move_slots_args& args) = 0;
  virtual void packMatrix(const PackMatrix& args) = 0;
  virtual void quantize(const pw_quantize_args& args) = 0;
  virtual void linear(const pw_linear_args& args) = 0;
  virtual void embedding(const pw_embedding_args& args) = 0;
  virtual void gatherRows(const pw_gather_rows_args& args) = 0;

  virtual void rmsNorm(const pw_rmsnorm_args& args) = 0;
  virtual void ropeTable(const pw_rope_table_args& args) = 0;
  virtual void rope(const pw_rope_args& args) = 0;
  virtual void gated(const pw_gated_args& args) = 0;
  virtual void argmax(const pw_argmax_args& args) = 0;
  virtual void sample(const pw_sample_args& args) = 0;
  virtual void verify(const pw_verify_args& args) = 0;
  virtual void drawCandidates(const pw_candidates_args& args) = 0;

  /// Making low-bit weights is the host's work: backends without these say so.
  virtual void gram(const pw_gram_args& args);
  virtual void quantizeWeights(const pw_quantizer_args& args);

  // --- what the engine tells its executor, on the engine thread ---------------------------------------------------
  /// Before the first command, and after the last one: when stop() returns, every command has ended.
  virtual void start() {}
  virtual void stop() {}
  /// A command of `stream` is about to run. @throws Error, reported as the command's
  virtual void begin(const Ref<Stream>& stream, const Command& command) {
    (void)stream;
    (void)command;
  }
  /// The command has been run, or failed with `status`. Whatever it holds may go once its work has ended: at once, or,
  /// on a device that works on its own, later.
  virtual void end(Ref<Stream> stream, Command command, pw_status status, std::string message);
  /// The queue has been empty for a moment.
  virtual void idle() {}

  /// Marks this point of the running command's stream.
  virtual void recordEvent(const Ref<Event>& event, uint64_t recording);
  /// What follows on the stream comes after the recording. @param recordedHere by a command of the same engine
  virtual void waitEvent(const Ref<Event>& event, uint64_t recording, bool recordedHere,
                         const std::atomic<bool>& cancelled);
  /// The first element of an i32 tensor, when all that comes before on the running command's stream has been done.
  virtual int32_t readIndex(const pw_tensor& index) = 0;
  using Substitutions = std::vector<std::pair<Ref<RefCounted>, Ref<RefCounted>>>;
  /// Runs the list's commands, with objects replaced in resolve(), and reports the first error among them.
  virtual void replay(CommandList& list, Substitutions substitutions);

  /// Takes the first error that commands have reported since the last call.
  virtual pw_status takeError(std::string* message) = 0;

  /// The object that a replayed command uses in place of the one it was captured with (a newer plan), else `captured`.
  template <class T>
  const T& resolve(const Ref<T>& captured) {
    resolved_ = true;
    for (const auto& [from, to] : substitutions_)
      if (from.get() == captured.get()) return static_cast<const T&>(*to);
    return *captured;
  }
  /// While it lives, resolve() answers with these substitutions, then with those of the list that this one is part of,
  /// which also replace what these put in.
  class Substituted {
   public:
    Substituted(Executor& executor, Substitutions substitutions)
        : executor_(executor), outer_(executor.substitutions_) {
      for (auto& own : substitutions)
        for (const auto& [from, to] : outer_)
          if (from.get() == own.second.get()) {
            own.second = to;
            break;
          }
      substitutions.insert(substitutions.end(), outer_.begin(), outer_.end());
      executor_.substitutions_.swap(substitutions);
    }
    ~Substituted() { executor_.substitutions_.swap(outer_); }
    Substituted(const Substituted&) = delete;
    Substituted& operator=(const Substituted&) = delete;

   private:
    Executor& executor_;
    Substitutions outer_;
  };

  /// While it lives, recordings() are these: those that a replay makes.
  class Recordings {
   public:
    Recordings(Executor& executor, std::vector<uint64_t> numbers) : executor_(executor), outer_(std::move(numbers)) {
      executor_.recordings_.swap(outer_);
    }
    ~Recordings() { executor_.recordings_.swap(outer_); }
    Recordings(const Recordings&) = delete;
    Recordings& operator=(const Recordings&) = delete;

   private:
    Executor& executor_;
    std::vector<uint64_t> outer_;
  };
  /// The numbers of recordings of the list that is being replayed, in the order of CommandList::events.
  const std::vector<uint64_t>& recordings() const noexcept { return recordings_; }

 protected:
  /// Has resolve() been called since this was last false?
  bool resolved_ = false;

 private:
  Substitutions substitutions_;
  std::vector<uint64_t> recordings_;
};

}  // namespace pw
