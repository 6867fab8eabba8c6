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
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "core/aligned.h"
#include "cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr size_t kBuffer = size_t{512} << 20;
constexpr int64_t kSteps = 4'000'000;

volatile uint64_t sink;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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
      begin[i] = now();
      work[i] = body(t);
      end[i] = now();
    });
  while (ready.load() < threads) std::this_thread::yield();
  go.store(true, std::memory_order_release);
  for (std::thread& t : pool) t.join();
  double total = 0;
  for (double w : work) total += w;
  return total / (*std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end()));
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) double readBytes(const char* p, size_t bytes) {
  __m256i sum[8] = {};
  for (size_t i = 0; i < bytes; i += 256)
    for (int j = 0; j < 8; ++j)
      sum[j] = _mm256_xor_si256(sum[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(p + i + 32 * j)));
  for (int j = 1; j < 8; ++j) sum[0] = _mm256_xor_si256(sum[0], sum[j]);
  sink = static_cast<uint64_t>(_mm256_extract_epi64(sum[0], 0));
  return static_cast<double>(bytes);
}

__attribute__((target("avx512f,avx512vnni"))) double int8Vnni() {
  __m512i a[12], x = _mm512_set1_epi32(0x01020304), y = _mm512_set1_epi32(0x7f010203);
  for (auto& v : a) v = _mm512_setzero_si512();
  for (int64_t i = 0; i < kSteps; ++i) {
    for (auto& v : a) v = _mm512_dpbusd_epi32(v, x, y);
    __asm__ volatile("" : "+v"(x), "+v"(y));
  }
  for (int j = 1; j < 12; ++j) a[0] = _mm512_add_epi32(a[0], a[j]);
  sink = static_cast<uint64_t>(_mm512_reduce_add_epi32(a[0]));
  return static_cast<double>(kSteps) * 12 * 64 * 2;
}

__attribute__((target("avx2"))) double int8Avx2() {
  __m256i a[8], x = _mm256_set1_epi32(0x01020304), y = _mm256_set1_epi32(0x7f010203), one = _mm256_set1_epi16(1);
  for (auto& v : a) v = _mm256_setzero_si256();
  for (int64_t i = 0; i < kSteps; ++i) {
    for (auto& v : a) v = _mm256_add_epi32(v, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), one));
    __asm__ volatile("" : "+x"(x), "+x"(y));
  }
  for (int j = 1; j < 8; ++j) a[0] = _mm256_add_epi32(a[0], a[j]);
  sink = static_cast<uint64_t>(_mm256_extract_epi64(a[0], 0));
  return static_cast<double>(kSteps) * 8 * 32 * 2;
}

__attribute__((target("avx512f"))) double fma512() {
  __m512 a[12], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
  for (auto& v : a) v = _mm512_set1_ps(1.0f);
  for (int64_t i = 0; i < kSteps; ++i) {
    for (auto& v : a) v = _mm512_fmadd_ps(v, x, y);
    __asm__ volatile("" : "+v"(x), "+v"(y));
  }
  for (int j = 1; j < 12; ++j) a[0] = _mm512_add_ps(a[0], a[j]);
  sink = static_cast<uint64_t>(_mm512_reduce_add_ps(a[0]));
  return static_cast<double>(kSteps) * 12 * 16 * 2;
}

__attribute__((target("avx2,fma"))) double fma256() {
  __m256 a[12], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
  for (auto& v : a) v = _mm256_set1_ps(1.0f);
  for (int64_t i = 0; i < kSteps; ++i) {
    for (auto& v : a) v = _mm256_fmadd_ps(v, x, y);
    __asm__ volatile("" : "+x"(x), "+x"(y));
  }
  for (int j = 1; j < 12; ++j) a[0] = _mm256_add_ps(a[0], a[j]);
  sink = static_cast<uint64_t>(_mm256_cvtss_f32(a[0]));
  return static_cast<double>(kSteps) * 12 * 8 * 2;
}
#endif

double readRate(const char* buffer, int threads) {
  const size_t share = kBuffer / static_cast<size_t>(threads) / 256 * 256;
  return rate(threads, [&](int t) {
    const char* p = buffer + share * static_cast<size_t>(t);
#if defined(__x86_64__)
    if (pw::cpu::detectIsa() >= pw::cpu::Isa::kAvx2) return readBytes(p, share);
#endif
    uint64_t sum[8] = {};
    for (size_t i = 0; i < share; i += 64)
      for (int j = 0; j < 8; ++j) {
        uint64_t word;
        std::memcpy(&word, p + i + 8 * static_cast<size_t>(j), 8);
        sum[j] ^= word;
      }
    for (int j = 1; j < 8; ++j) sum[0] ^= sum[j];
    sink = sum[0];
    return static_cast<double>(share);
  });
}

/// 0 where there is no SIMD version to measure with.
double int8Rate(int threads) {
#if defined(__x86_64__)
  if (pw::cpu::detectFeatures().vnni) return rate(threads, [](int) { return int8Vnni(); });
  if (pw::cpu::detectIsa() >= pw::cpu::Isa::kAvx2) return rate(threads, [](int) { return int8Avx2(); });
#endif
  return 0.0 * threads;
}

double fmaRate(int threads) {
#if defined(__x86_64__)
  if (pw::cpu::detectIsa() == pw::cpu::Isa::kAvx512) return rate(threads, [](int) { return fma512(); });
  if (pw::cpu::detectIsa() >= pw::cpu::Isa::kAvx2) return rate(threads, [](int) { return fma256(); });
#endif
  return 0.0 * threads;
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
