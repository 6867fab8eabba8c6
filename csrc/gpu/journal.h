// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gpu/driver.h"
#include "gpu/memory.h"

namespace pw::gpu {

/// A stream's commands that have not ended: what an error that breaks the context can have come from. A broken context
/// answers every question with its error, so the stream itself counts in host memory, which stays readable, how far it
/// has come.
class Journal final : public RefCounted {
 public:
  explicit Journal(Ref<PrimaryContext> primary);
  ~Journal() override;

  /// A command begins; those before it have been enqueued. @return its number
  uint64_t begin(const char* name);
  /// The running command has work on the GPU from here on. @param ops of the command list that it replays
  void work(const std::shared_ptr<const std::string>& ops = nullptr);
  /// Enqueues, behind the work of the running command, that it is done.
  void mark(CUstream stream);
  /// The host has learned that the commands up to `number` have ended.
  void end(uint64_t number);

  /// Appends the name of the first command that is not done; of all of them, where the stream could not count.
  void addSuspects(std::vector<std::string>* names) const;

 private:
  struct Entry {
    uint64_t number;
    const char* name;
    bool works;
    std::shared_ptr<const std::string> ops;
  };

  const Ref<PrimaryContext> primary_;
  /// The low 32 bits of the number of the last command that is done; none where the driver cannot count.
  Ref<PinnedStorage> done_;
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
  uint64_t begun_ = 0;
};

}  // namespace pw::gpu
