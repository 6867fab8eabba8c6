// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/engine.h"
#include "gpu/journal.h"
#include "gpu/primary_context.h"
#include "pagewarp/gpu/error.h"

namespace pw::gpu {

/// A command that has been launched, with everything that must outlive its work on the GPU.
struct Launched {
  Ref<Stream> stream;
  Command command;
  /// In the stream's journal.
  uint64_t number = 0;
  /// What went wrong while launching it.
  pw_status status = PW_OK;
  std::string message;
  /// Words that its kernels may have reported data errors in, each with the name of its op.
  std::vector<std::pair<const pw_gpu_error*, const char*>> errors;
  /// Host memory, device memory and marks that its work uses.
  std::vector<Ref<RefCounted>> holds;
  /// To be done on the host when the work has ended well: copies out of staging memory.
  std::vector<std::function<void()>> copies;
  /// To be done in any case.
  std::vector<std::function<void()>> notifications;
};

/// Ends commands when the GPU has finished with them: a thread per stream that waits for marks in the stream, so that
/// no stream's promises wait for another's work, and nothing has to be called back by the driver.
class Completion {
 public:
  Completion(Ref<PrimaryContext> primary, Ref<Journal> journal);
  /// Everything submitted has ended before this returns.
  ~Completion();

  /// Ends `commands` when the work before the mark is done. Consumes the vector.
  /// @param recorded what recording the mark gave
  void submit(CUevent mark, CUresult recorded, std::vector<Launched> commands);
  /// A mark for the next submission.
  CUevent takeMark();
  bool isIdle();

 private:
  struct Batch {
    CUevent mark;
    CUresult recorded;
    std::vector<Launched> commands;
  };
  void loop();
  void finish(Batch& batch);

  const Ref<PrimaryContext> primary_;
  const Ref<Journal> journal_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> batches_;
  std::vector<CUevent> marks_;
  bool busy_ = false, closed_ = false;
  std::thread thread_;
};

}  // namespace pw::gpu
