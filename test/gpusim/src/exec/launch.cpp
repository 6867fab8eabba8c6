// SPDX-License-Identifier: Apache-2.0
// launch: validation, residency, workers, collection of results.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <thread>

#include "check/reporter.h"
#include "exec/interpreter.h"
#include "exec/statistics.h"

namespace gpusim {
namespace {

constexpr uint32_t kSlicesPerTurn = 12;

/// The order in which blocks start: GPUs go upwards roughly, so a permutation within windows is a fair stand-in; small
/// grids are permuted as a whole.
class BlockOrder {
 public:
  BlockOrder(uint64_t blocks, uint64_t seed) : blocks_(blocks), random_(seed) {}
  /// The next block to start; blocks_ when none is left.
  uint64_t next() {
    if (at_ == window_.size()) refill();
    return window_.empty() ? blocks_ : window_[at_++];
  }

 private:
  void refill() {
    constexpr uint64_t kWindow = 1024;
    window_.resize(std::min(kWindow, blocks_ - begin_));
    std::iota(window_.begin(), window_.end(), begin_);
    begin_ += window_.size();
    at_ = 0;
    for (size_t i = window_.size(); i > 1; --i) std::swap(window_[i - 1], window_[random_.below(uint32_t(i))]);
  }

  uint64_t blocks_;
  uint64_t begin_ = 0;
  size_t at_ = 0;
  std::vector<uint64_t> window_;
  Random random_;
};

std::unique_ptr<Block> takeBlock(Worker& w) {
  if (w.freeBlocks.empty()) return std::make_unique<Block>();
  auto b = std::move(w.freeBlocks.back());
  w.freeBlocks.pop_back();
  return b;
}

/// Ends a launch that runs longer than GPUSIM_TIMEOUT seconds.
class Watchdog {
 public:
  Watchdog() {
    const char* text = std::getenv("GPUSIM_TIMEOUT");
    if (text && *text) limit_ = std::chrono::duration<double>(std::atof(text));
  }
  bool expired() const { return limit_.count() > 0 && std::chrono::steady_clock::now() - begin_ > limit_; }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::duration<double> limit_{0};
};

class Run {
 public:
  Run(LaunchState& launch, uint64_t blocks, uint64_t resident)
      : launch_(launch), resident_(resident), order_(blocks, launch.seed ^ 0xB10C), blocks_(blocks) {}

  void interleaved(Worker& w) {
    std::vector<std::unique_ptr<Block>> active;
    Random random(launch_.seed ^ 0x5EED);
    uint64_t nextIndex = order_.next();
    bool waiting = true;
    while (!launch_.failed()) {
      // all resident blocks may run; one that has not started is likelier to when others wait for something
      const bool startable = nextIndex < blocks_ && active.size() < resident_;
      if (!startable && active.empty()) break;
      uint64_t pick = active.empty() ? 0 : random.below(uint32_t(active.size()));
      if (startable && (active.empty() || random.below(8) < (waiting ? 4u : 1u))) {
        pick = active.size();
        active.push_back(takeBlock(w));
        startBlock(*active.back(), launch_, w, nextIndex, 0);
        nextIndex = order_.next();
      }
      const SliceResult r = runBlock(*active[pick], kSlicesPerTurn);
      waiting = active[pick]->polled;
      if (r == SliceResult::Finished) {
        w.idlePolls = 0;
        finish(w, active, pick);
      }
      if (watchdog_.expired()) timeOut(active.empty() ? nullptr : active.front().get());
    }
    for (auto& b : active) flush(*b);
  }

  /// Runs every `workers`-th block of the order, beginning with the `first`-th: who runs what does not depend on
  /// timing.
  void independent(Worker& w, size_t first, size_t workers) {
    BlockOrder order = order_;
    for (uint64_t position = 0;; ++position) {
      const uint64_t index = order.next();
      if (index >= blocks_ || launch_.stopped(position)) break;
      if (position % workers != first) continue;
      auto b = takeBlock(w);
      startBlock(*b, launch_, w, index, position);
      while (runBlock(*b, 64) == SliceResult::More)
        if (watchdog_.expired()) timeOut(b.get());
      keepPrinted(*b);
      w.freeBlocks.push_back(std::move(b));
    }
  }

  /// Output of the blocks in an order that does not depend on which finished first.
  void flushAll() {
    std::sort(printed_.begin(), printed_.end());
    for (auto& [position, text] : printed_)
      if (position <= launch_.failedAt) launch_.device->print(text);
  }

 private:
  void keepPrinted(Block& b) {
    if (b.printed.empty()) return;
    std::lock_guard lock(mutex_);
    printed_.emplace_back(b.position, std::move(b.printed));
    b.printed.clear();
  }
  void flush(Block& b) {
    if (b.printed.empty()) return;
    launch_.device->print(b.printed);
    b.printed.clear();
  }
  void finish(Worker& w, std::vector<std::unique_ptr<Block>>& active, uint64_t pick) {
    flush(*active[pick]);
    w.freeBlocks.push_back(std::move(active[pick]));
    active[pick] = std::move(active.back());
    active.pop_back();
  }
  void timeOut(const Block* b) {
    launch_.reporter->add(ReportKind::Timeout, nullptr, b, 0, "the launch ran longer than GPUSIM_TIMEOUT", 0, true);
    launch_.fail(b ? b->position : 0);
  }

  LaunchState& launch_;
  uint64_t resident_;
  BlockOrder order_;
  uint64_t blocks_;
  Watchdog watchdog_;
  std::mutex mutex_;
  std::vector<std::pair<uint64_t, std::string>> printed_;
};

void prepareWorker(Worker& w, LaunchState& l) {
  w.launch = &l;
  w.sites.assign(l.module->code.size(), {});
  if (l.checks.race) w.race.reset(l.code->minStoreBytes);
}

/// `reports`: fatal ones first.
Status gravest(const std::vector<Report>& reports, bool strict) {
  for (auto& r : reports)
    if (r.kind == ReportKind::Timeout) return Status::LaunchTimeout;
  if (reports.empty() || !(reports.front().fatal || strict)) return Status::Success;
  return Reporter::statusOf(reports.front().kind);
}

}  // namespace

int residentBlocksPerSm(const DeviceModel& m, const Kernel& k, uint32_t threads, uint64_t dynamicShared) {
  if (!threads || threads > uint32_t(m.maxThreadsPerBlock)) return 0;
  const int warps = int((threads + kLanes - 1) / kLanes);
  int blocks = std::min(m.blocksPerSm, std::min(m.warpsPerSm, m.maxThreadsPerSm / kLanes) / warps);
  const int unit = std::max(1, m.registerAllocationUnit);
  const int perWarp = (int(k.registers) * kLanes + unit - 1) / unit * unit;
  if (perWarp) blocks = std::min(blocks, m.registersPerSm / perWarp / warps);
  const uint64_t grain = uint64_t(std::max(1, m.sharedAllocationUnit));
  const uint64_t shared =
      (k.staticShared + dynamicShared + uint64_t(m.sharedReservedPerBlock) + grain - 1) / grain * grain;
  if (shared) blocks = std::min<int64_t>(blocks, int64_t(uint64_t(m.sharedPerSm) / shared));
  return std::max(0, blocks);
}

Status validateLaunch(const DeviceState& device, const Kernel& k, const LaunchConfig& c, std::string& why) {
  const DeviceModel& m = device.model;
  auto bad = [&](const std::string& text, Status status = Status::InvalidValue) {
    why = k.name + ": " + text;
    return status;
  };
  const Dim3 &g = c.grid, &b = c.block;
  if (!g.x || !g.y || !g.z || !b.x || !b.y || !b.z) return bad("a dimension of the grid or block is zero");
  if (g.x > 0x7FFFFFFF || g.y > 65535 || g.z > 65535) return bad("the grid is larger than 2^31-1 x 65535 x 65535");
  if (b.x > 1024 || b.y > 1024 || b.z > 64 || b.count() > uint64_t(m.maxThreadsPerBlock))
    return bad("the block has " + std::to_string(b.count()) + " threads (allowed: 1024 x 1024 x 64, together " +
               std::to_string(m.maxThreadsPerBlock) + ")");
  if (b.count() > k.maxThreads)
    return bad("the block has " + std::to_string(b.count()) + " threads, the kernel allows " +
               std::to_string(k.maxThreads));
  if (k.requiredThreads[0] &&
      (b.x != k.requiredThreads[0] || b.y != k.requiredThreads[1] || b.z != k.requiredThreads[2]))
    return bad("the block differs from the kernel's .reqntid");
  if (c.parameters.size() < k.parameterBytes)
    return bad("the parameter buffer has " + std::to_string(c.parameters.size()) + " bytes, the kernel takes " +
               std::to_string(k.parameterBytes));
  const uint64_t optin =
      std::max<uint64_t>(c.maxDynamicShared ? c.maxDynamicShared + k.staticShared : 0, uint64_t(m.sharedPerBlock));
  const uint64_t shared = uint64_t(k.staticShared) + c.dynamicShared;
  if (shared > std::min<uint64_t>(optin, uint64_t(m.sharedPerBlockOptin)))
    return bad("needs " + std::to_string(shared) + " bytes of shared memory, " +
               std::to_string(std::min<uint64_t>(optin, uint64_t(m.sharedPerBlockOptin))) + " are allowed");
  const int resident = residentBlocksPerSm(m, k, uint32_t(b.count()), c.dynamicShared);
  if (!resident)
    return bad("no block fits a multiprocessor (" + std::to_string(k.registers) + " registers a thread)",
               Status::LaunchOutOfResources);
  if (c.cooperative && g.count() > uint64_t(resident) * uint64_t(m.smCount))
    return bad("a cooperative launch of " + std::to_string(g.count()) + " blocks, of which " +
                   std::to_string(uint64_t(resident) * uint64_t(m.smCount)) + " can be resident",
               Status::CooperativeLaunchTooLarge);
  return Status::Success;
}

LaunchResult launch(DeviceState& device, const Kernel& kernel, const LaunchConfig& config) {
  LaunchResult result;
  result.status = validateLaunch(device, kernel, config, result.message);
  if (result.status != Status::Success) return result;

  LaunchState l;
  l.device = &device;
  l.kernel = &kernel;
  l.config = &config;
  l.code = kernel.code.get();
  l.module = l.code->module.get();
  l.entry = &l.module->functions[size_t(l.code->function)];
  l.checks = device.checks;
  l.profile = profileRequested();
  l.serial = ++device.launches;
  l.seed = Random(device.seedOf(l.serial) * 0x9E3779B97F4A7C15ull + l.serial).next();
  l.interleaved = l.code->singleWorker || config.cooperative;
  l.sharedBytes = l.code->sharedStatic + config.dynamicShared;
  l.stackBytes = uint32_t((l.code->stackBytes + (l.code->recursive ? device.stackLimit : 0) + 15) / 16 * 16);
  Reporter reporter(l);
  l.reporter = &reporter;
  if (config.cooperative) {
    if (device.memory.allocate(64, MemoryKind::Workspace, l.workspace, "grid barrier") != Status::Success) {
      result.status = Status::OutOfMemory;
      return result;
    }
    device.memory.fill(l.workspace, 0, 4, 16);
  }

  struct Running {
    std::atomic<int>& count;
    explicit Running(std::atomic<int>& count) : count(count) { ++count; }
    ~Running() { --count; }
  } running(device.running);
  const uint64_t blocks = config.grid.count();
  const uint64_t resident =
      uint64_t(residentBlocksPerSm(device.model, kernel, uint32_t(config.block.count()), config.dynamicShared)) *
      uint64_t(device.model.smCount);
  Run run(l, blocks, resident);
  const size_t workers = l.interleaved ? 1 : std::min<uint64_t>(uint64_t(device.hostThreads), blocks);
  std::vector<Worker> pool(workers);
  for (auto& w : pool) prepareWorker(w, l);
  if (l.interleaved) {
    run.interleaved(pool[0]);
  } else {
    std::vector<std::thread> threads;
    for (size_t i = 1; i < workers; ++i) threads.emplace_back([&, i] { run.independent(pool[i], i, workers); });
    run.independent(pool[0], 0, workers);
    for (auto& t : threads) t.join();
    run.flushAll();
    for (size_t i = 1; i < workers; ++i) pool[0].race.merge(pool[i].race);
    if (l.checks.race && !l.failed())
      for (auto& race : pool[0].race.collect()) reporter.globalRaceAtEnd(race);
  }
  if (l.workspace) device.memory.free(l.workspace);

  result.reports = reporter.take();
  result.status = gravest(result.reports, l.checks.strict);
  if (result.status != Status::Success) result.message = kernel.name + ": " + result.reports.front().message;
  result.profile = collectProfile(l, pool, resident);
  appendProfile(result.profile);
  return result;
}

}  // namespace gpusim
