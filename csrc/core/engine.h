// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/executor.h"
#include "core/ref.h"
#include "core/storage.h"

namespace pw {

class Engine;
class Event;

/// One operation, with everything that must outlive it.
struct Command {
  const char* name = "";
  std::vector<Ref<RefCounted>> holds;
  std::function<void(Executor&)> run;
  /// Somebody waits for its end: a backend that notices ends late should hurry.
  bool awaited = false;
};

/// Runs the command. @throws Error with the command's name in front, also for errors that kernels reported
void runNamed(const Command& command, Executor& executor);

/// Commands recorded once, to be replayed by one call.
class CommandList final : public RefCounted {
 public:
  std::vector<Command> commands;
  /// Events that they record, one recording each per replay.
  std::vector<Ref<Event>> events;
  /// What the executor has made of it. Only the engine thread touches it.
  Ref<RefCounted> compiled;
  bool isUncapturable = false;
};

/// A stream: an order of commands, and the first error among them that nobody has been told of.
class Stream final : public RefCounted {
 public:
  /// @param isDefault ordered with all other streams of its device: after what was submitted to them before, and before
  /// what is submitted to them later
  explicit Stream(bool isDefault = false) : isDefault_(isDefault) {}
  bool isDefault() const noexcept { return isDefault_; }

  /// Non-null between beginCapture and endCapture: commands are recorded instead of run.
  Ref<CommandList> capture;

  void report(pw_status status, std::string message);
  pw_status takeError(std::string* message);

  /// What the executor keeps for this stream. Only the engine thread touches it.
  Ref<RefCounted> backend;

 private:
  std::mutex mutex_;
  pw_status status_ = PW_OK;
  std::string message_;
  const bool isDefault_;
};

/// A backend's own mark of a recorded event, for waits and times that stay on the device.
class EventMark : public RefCounted {
 public:
  /// Seconds from `start` to this mark on the device's clock; negative infinity when the two have no common clock.
  virtual double since(const EventMark& start) const = 0;
};

/// A point in a stream. Each recording has a number; later recordings do not disturb who waits for an earlier one.
class Event final : public RefCounted {
 public:
  /// The event is to be recorded by `engine`. @return the recording's number
  uint64_t begin(const Engine* engine);
  /// The stream has reached the recording. Nothing happens where it had been reached.
  void complete(uint64_t recording);
  /// Returns when the recording has been reached, or when `cancelled` turns true.
  void wait(uint64_t recording, const std::atomic<bool>& cancelled);
  /// Has the last recording been reached? True before the first.
  bool done();
  /// The last recording and the engine that makes it.
  uint64_t lastRecording(const Engine** engine);

  void setMark(Ref<EventMark> mark);
  Ref<EventMark> mark();
  /// Seconds between two events that are done: on the device's clock if they share one, else on the host's.
  static double elapsed(Event& start, Event& end);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  const Engine* engine_ = nullptr;
  uint64_t begun_ = 0, completed_ = 0;
  double time_ = 0;
  Ref<EventMark> mark_;
};

/// A recording that has been submitted. It completes when the stream gets there, and at the latest with the command
/// that holds this: nobody waits for what failed before, or was dropped.
class Recording final : public RefCounted {
 public:
  Recording(Ref<Event> event, const Engine* engine) : event_(std::move(event)), number_(event_->begin(engine)) {}
  ~Recording() override { event_->complete(number_); }
  uint64_t number() const noexcept { return number_; }

 private:
  const Ref<Event> event_;
  const uint64_t number_;
};

/// A device's queue and the thread that serves it, in submission order: an order that satisfies every stream and event,
/// since an event is always recorded before it is waited for.
class Engine final : public RefCounted {
 public:
  /// @param threadName shown by debuggers, at most 15 characters
  Engine(std::unique_ptr<Executor> executor, const char* threadName);
  /// The thread must have been joined.
  ~Engine() override;

  /// @throws Error(PW_DISPOSED) after close()
  void requireOpen(const char* what);
  /// @throws Error(PW_DISPOSED) after close()
  void submit(Ref<Stream> stream, Command command);
  /// No more submissions; what is queued still runs, then `exited` is called on the engine thread and the thread ends.
  void close(std::function<void()> exited = nullptr);
  /// Drops what has not started, then closes.
  void cancel();
  void join();
  const std::atomic<bool>& cancelled() const noexcept { return cancelled_; }

 private:
  struct Item {
    Ref<Stream> stream;
    Command command;
  };
  void loop(const char* threadName);
  void execute(Item item);

  std::unique_ptr<Executor> executor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> queue_;
  bool closed_ = false;
  std::function<void()> exited_;
  std::atomic<bool> cancelled_{false};
  std::thread thread_;
};

}  // namespace pw
