// SPDX-License-Identifier: Apache-2.0
#include "stream.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "context.h"

namespace gpusim {
namespace {

using namespace std::chrono_literals;

constexpr auto kIdleThreadLife = 2s;
constexpr auto kShutdownPatience = 2s;

std::atomic<uint64_t> nextStreamId{1};
std::atomic<bool> ending{false};
std::atomic<int> busyThreads{0};

}  // namespace

Stream::Stream(std::weak_ptr<Context> context, unsigned flags, int priority)
    : context(std::move(context)), flags(flags), priority(priority), id(nextStreamId++) {}

CompletionPtr Stream::enqueue(std::shared_ptr<Context> owner, Work work, std::vector<CompletionPtr> dependencies) {
  auto done = std::make_shared<Completion>();
  std::lock_guard lock(mutex_);
  queue_.push_back({std::move(owner), std::move(work), std::move(dependencies), done});
  last_ = done;
  if (serving_) {
    wake_.notify_one();
  } else {
    serving_ = true;
    std::thread([self = shared_from_this()] { self->serve(); }).detach();
  }
  return done;
}

CompletionPtr Stream::last() const {
  std::lock_guard lock(mutex_);
  return last_;
}

bool Stream::idle() const {
  const CompletionPtr latest = last();
  return !latest || latest->done();
}

void Stream::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (!wake_.wait_for(lock, kIdleThreadLife, [&] { return !queue_.empty(); })) {
      serving_ = false;
      return;
    }
    {
      Item item = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      for (const CompletionPtr& dependency : item.dependencies) dependency->wait();
      ++busyThreads;
      item.context->run(item.work);
      --busyThreads;
      item.work = EmptyWork{};  // what it held is let go before anyone who waits goes on
      item.done->finish();
    }
    lock.lock();
  }
}

bool shuttingDown() { return ending.load(); }

void quiesceStreams() {
  ending = true;
  const auto deadline = std::chrono::steady_clock::now() + kShutdownPatience;
  while (busyThreads.load() > 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
}

}  // namespace gpusim
