// SPDX-License-Identifier: Apache-2.0
/// @file Measures what this machine can do right now, for benchmarks to be read against: sequential read bandwidth from
/// memory, f32 FMA rate and 8-bit integer dot-product rate, with 1 to N threads. Prints one JSON line.
///
///     probe [threads] [repeats]
///
/// Each figure is the median of `repeats` runs. Read bandwidth counts bytes loaded from a buffer of 512 MiB (huge pages
/// where the system gives them); int8 counts two operations a multiply-add (vpdpbusd, else vpmaddubsw + vpmaddwd +
/// add).
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "core/aligned.h"
#include "cpu/isa.h"
#include "work.h"

namespace {

constexpr size_t kBuffer = size_t{512} << 20;

/// Work per second of `threads` threads that all start together; body(thread) returns the work that it has done.
template <class Body>
double rate(int threads, Body body) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<double> work(static_cast<size_t>(threads)), begin(work), end(work);
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&, t] {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
      const auto i = static_cast<size_t>(t);
      begin[i] = pw::bench::wallSeconds();
      work[i] = body(t);
      end[i] = pw::bench::wallSeconds();
    });
  while (ready.load() < threads) std::this_thread::yield();
  go.store(true, std::memory_order_release);
  for (std::thread& t : pool) t.join();
  double total = 0;
  for (double w : work) total += w;
  return total / (*std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end()));
}

/// The better of plain reads and reads with software prefetch.
double readRate(const char* buffer, int threads) {
  const size_t share = kBuffer / static_cast<size_t>(threads) / 4096 * 4096;
  double best = 0;
  for (const bool prefetch : {false, true})
    best = std::max(best, rate(threads, [&](int t) {
                      return pw::bench::read(buffer + share * static_cast<size_t>(t), share, prefetch);
                    }));
  return best;
}

/// 0 where there is no SIMD version to measure with.
double int8Rate(int threads) {
  return rate(threads, [](int) { return pw::bench::multiplyInt8(); });
}

double fmaRate(int threads) {
  return rate(threads, [](int) { return pw::bench::multiplyF32(); });
}

template <class F>
double median(int repeats, F&& measure) {
  std::vector<double> values;
  for (int i = 0; i < repeats; ++i) values.push_back(measure());
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int threads = std::clamp(argc > 1 ? std::atoi(argv[1]) : cores, 1, 256);
  const int repeats = std::clamp(argc > 2 ? std::atoi(argv[2]) : 5, 1, 1000);
  auto* buffer = static_cast<char*>(pw::alignedAllocate(kBuffer));
  std::memset(buffer, 1, kBuffer);
  std::printf("{\"cpu\":\"%s\",\"isa\":\"%s\",\"cores\":%d", pw::cpu::cpuName().c_str(),
              pw::cpu::isaName(pw::cpu::detectIsa()), cores);
  for (int t = 1; t <= threads; t = t < threads && 2 * t > threads ? threads : 2 * t) {
    std::printf("%s{\"threads\":%d,\"readGBs\":%.2f,\"int8Gops\":%.1f,\"fmaGflops\":%.1f}",
                t == 1 ? ",\"limits\":[" : ",", t, median(repeats, [&] { return readRate(buffer, t); }) / 1e9,
                median(repeats, [&] { return int8Rate(t); }) / 1e9, median(repeats, [&] { return fmaRate(t); }) / 1e9);
  }
  std::printf("]}\n");
  pw::alignedFree(buffer);
  return 0;
}
