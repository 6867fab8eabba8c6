// SPDX-License-Identifier: Apache-2.0
// Running an executable graph: node after node, and side by side where one waits for another.
#include <mutex>
#include <random>
#include <thread>

#include "context.h"
#include "graph.h"

namespace gpusim {
namespace {

class GraphRun {
 public:
  GraphRun(const ExecutableGraph& graph, Context& context, uint64_t salt, const std::function<void()>& stalled)
      : graph_(graph),
        context_(context),
        stalled_(stalled),
        random_(context.device.state.seedOf(salt) * 0x9e3779b97f4a7c15u + salt),
        open_(graph.nodes.size()),
        dependents_(graph.nodes.size()) {
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      open_[i] = graph.nodes[i].dependencies.size();
      for (const size_t dependency : graph.nodes[i].dependencies) dependents_[dependency].push_back(i);
      if (open_[i] == 0) ready_.push_back(i);
    }
  }

  CUresult run() {
    performReady();
    for (size_t i = 0;; ++i) {  // helpers may start helpers
      std::thread helper;
      {
        std::lock_guard lock(mutex_);
        if (i == helpers_.size()) return status_;
        helper = std::move(helpers_[i]);
      }
      helper.join();
    }
  }

 private:
  /// Performs ready nodes, one after another, until none is left.
  void performReady() {
    std::unique_lock lock(mutex_);
    while (!ready_.empty() && status_ == CUDA_SUCCESS) {
      std::swap(ready_[random_() % ready_.size()], ready_.back());
      const size_t index = ready_.back();
      ready_.pop_back();
      const ExecutableGraph::Node& node = graph_.nodes[index];
      if (node.enabled) {
        lock.unlock();
        const CUresult status = perform(node.work, context_, [this] { help(); });
        lock.lock();
        if (status != CUDA_SUCCESS && status_ == CUDA_SUCCESS) status_ = status;
      }
      for (const size_t dependent : dependents_[index])
        if (--open_[dependent] == 0) ready_.push_back(dependent);
    }
  }

  /// A node waits for something: another that is ready may bring it, here or in the graph around this one.
  void help() {
    {
      std::lock_guard lock(mutex_);
      if (!ready_.empty()) {
        helpers_.emplace_back([this] { performReady(); });
        return;
      }
    }
    if (stalled_) stalled_();
  }

  const ExecutableGraph& graph_;
  Context& context_;
  const std::function<void()>& stalled_;
  std::mutex mutex_;
  std::mt19937_64 random_;
  std::vector<size_t> open_;  ///< dependencies that are not done
  std::vector<std::vector<size_t>> dependents_;
  std::vector<size_t> ready_;
  std::vector<std::thread> helpers_;
  CUresult status_ = CUDA_SUCCESS;
};

}  // namespace

CUresult ExecutableGraph::run(Context& context, uint64_t salt, const std::function<void()>& stalled) const {
  return GraphRun(*this, context, salt, stalled).run();
}

}  // namespace gpusim
