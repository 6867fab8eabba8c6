// SPDX-License-Identifier: Apache-2.0
#include "core/engine.h"

#include <chrono>
#include <new>

#include "core/error.h"

#if defined(__linux__)
#include <pthread.h>
#endif

namespace pw {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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

void Event::begin() {
  std::lock_guard<std::mutex> lock(mutex_);
  pending_ = true;
}

void Event::complete() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    pending_ = false;
    time_ = now();
  }
  changed_.notify_all();
}

void Event::wait(const std::atomic<bool>& cancelled) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (pending_ && !cancelled.load(std::memory_order_relaxed)) changed_.wait_for(lock, std::chrono::milliseconds(5));
}

bool Event::done() {
  std::lock_guard<std::mutex> lock(mutex_);
  return !pending_;
}

double Event::time() {
  std::lock_guard<std::mutex> lock(mutex_);
  return time_;
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
  if (status != PW_OK) throw Error(status, std::string(command.name) + ": " + message);
}

void Engine::execute(Item& item) {
  try {
    runNamed(item.command, *executor_);
  } catch (const Error& error) {
    item.stream->report(error.status(), error.what());
  }
}

void Engine::loop(const char* threadName) {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), threadName);
#else
  (void)threadName;
#endif
  std::function<void()> exited;
  for (;;) {
    Item item;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return closed_ || !queue_.empty(); });
      if (queue_.empty()) {
        exited = std::move(exited_);
        break;
      }
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    execute(item);
  }
  if (exited) exited();
}

}  // namespace pw
