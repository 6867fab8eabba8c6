// SPDX-License-Identifier: Apache-2.0
#include "core/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <optional>

#include "core/error.h"

#if defined(__linux__)
#include <pthread.h>
#endif

namespace pw {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// A queue that stays empty for so long is idle.
constexpr std::chrono::microseconds kIdleAfter{500};

}  // namespace

void Stream::report(pw_status status, std::string message) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (status_ != PW_OK) return;
  status_ = status;
  message_ = std::move(message);
}

pw_status Stream::takeError(std::string* message) {
  std::lock_guard<std::mutex> lock(mutex_);
  const pw_status status = status_;
  if (status != PW_OK) *message = std::move(message_);
  status_ = PW_OK;
  message_.clear();
  return status;
}

uint64_t Event::begin(const Engine* engine) {
  std::lock_guard<std::mutex> lock(mutex_);
  engine_ = engine;
  return ++begun_;
}

void Event::complete(uint64_t recording) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (recording <= completed_) return;
    completed_ = recording;
    time_ = now();
  }
  changed_.notify_all();
}

void Event::wait(uint64_t recording, const std::atomic<bool>& cancelled) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (completed_ < recording && !cancelled.load(std::memory_order_relaxed))
    changed_.wait_for(lock, std::chrono::milliseconds(5));
}

bool Event::done() {
  std::lock_guard<std::mutex> lock(mutex_);
  return completed_ == begun_;
}

uint64_t Event::lastRecording(const Engine** engine) {
  std::lock_guard<std::mutex> lock(mutex_);
  *engine = engine_;
  return begun_;
}

void Event::setMark(Ref<EventMark> mark) {
  std::lock_guard<std::mutex> lock(mutex_);
  mark_ = std::move(mark);
}

Ref<EventMark> Event::mark() {
  std::lock_guard<std::mutex> lock(mutex_);
  return mark_;
}

double Event::elapsed(Event& start, Event& end) {
  if (&start == &end) return 0;
  const Ref<EventMark> from = start.mark(), to = end.mark();
  if (from && to) {
    const double seconds = to->since(*from);
    if (std::isfinite(seconds)) return seconds;
  }
  std::scoped_lock lock(start.mutex_, end.mutex_);
  return end.time_ - start.time_;
}

Engine::Engine(std::unique_ptr<Executor> executor, const char* threadName) : executor_(std::move(executor)) {
  thread_ = std::thread([this, threadName] { loop(threadName); });
}

Engine::~Engine() { join(); }

void Engine::requireOpen(const char* what) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) throw Error(PW_DISPOSED, std::string(what) + ": the device has been disposed");
}

void Engine::submit(Ref<Stream> stream, Command command) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) throw Error(PW_DISPOSED, std::string(command.name) + ": the device has been disposed");
    queue_.push_back({std::move(stream), std::move(command)});
  }
  changed_.notify_one();
}

void Engine::close(std::function<void()> exited) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    closed_ = true;
    exited_ = std::move(exited);
  }
  changed_.notify_one();
}

void Engine::cancel() {
  std::deque<Item> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_.store(true, std::memory_order_relaxed);
    closed_ = true;
    exited_ = nullptr;
    queue_.swap(dropped);
  }
  changed_.notify_one();
}

void Engine::join() {
  if (thread_.joinable()) thread_.join();
}

void runNamed(const Command& command, Executor& executor) {
  std::string message;
  pw_status status;
  try {
    command.run(executor);
    status = executor.takeError(&message);
  } catch (const Error& error) {
    status = error.status();
    message = error.what();
  } catch (const std::bad_alloc&) {
    status = PW_OUT_OF_MEMORY;
    message = "out of host memory";
  } catch (const std::exception& error) {
    status = PW_INTERNAL;
    message = error.what();
  }
  if (status == PW_OK) return;
  std::string second;  // of a command that reported an error and threw one; not the next command's
  executor.takeError(&second);
  throw Error(status, std::string(command.name) + ": " + message);
}

void Engine::execute(Item item) {
  pw_status status = PW_OK;
  std::string message;
  try {
    executor_->begin(item.stream, item.command);
    runNamed(item.command, *executor_);
  } catch (const Error& error) {
    status = error.status();
    message = error.what();
  }
  executor_->end(std::move(item.stream), std::move(item.command), status, std::move(message));
}

void Executor::gram(const pw_gram_args&) { throw Error(PW_UNSUPPORTED, "sums for calibration are the CPU's work"); }

void Executor::quantizeWeights(const pw_quantizer_args&) {
  throw Error(PW_UNSUPPORTED, "quantising weights is the CPU's work");
}

void Executor::end(Ref<Stream> stream, Command, pw_status status, std::string message) {
  if (status != PW_OK) stream->report(status, std::move(message));
}

void Executor::recordEvent(const Ref<Event>& event, uint64_t recording) { event->complete(recording); }

void Executor::waitEvent(const Ref<Event>& event, uint64_t recording, bool recordedHere,
                         const std::atomic<bool>& cancelled) {
  if (!recordedHere) event->wait(recording, cancelled);
}

void Executor::replay(CommandList& list, Substitutions substitutions) {
  const Substituted scope(*this, std::move(substitutions));
  // As if they were enqueued one by one: an error, such as that of one row's data, does not keep the later ones from
  // running.
  std::optional<Error> first;
  for (const Command& command : list.commands) {
    try {
      runNamed(command, *this);
    } catch (const Error& error) {
      if (!first) first = error;
    }
  }
  if (first) throw *first;
}

void Engine::loop(const char* threadName) {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), threadName);
#else
  (void)threadName;
#endif
  executor_->start();
  const auto hasWork = [this] { return closed_ || !queue_.empty(); };
  std::function<void()> exited;
  for (;;) {
    Item item;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (!changed_.wait_for(lock, kIdleAfter, hasWork)) {
        lock.unlock();
        executor_->idle();
        lock.lock();
        changed_.wait(lock, hasWork);
      }
      if (queue_.empty()) break;
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    execute(std::move(item));
  }
  executor_->stop();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    exited = std::move(exited_);
  }
  if (exited) exited();
}

}  // namespace pw
