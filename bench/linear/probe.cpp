// SPDX-License-Identifier: Apache-2.0
#include "probe.h"

#include <chrono>
#include <cstdint>
#include <ctime>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pw::bench {
namespace {

volatile int64_t sink;

}  // namespace

double threadSeconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
#else
  return wallSeconds();
#endif
}

double wallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

#if defined(__x86_64__)

template <bool kPrefetch>
__attribute__((target("avx512f"))) static double readOnce(const char* p, size_t bytes) {
  __m512i lanes[8];
  for (__m512i& lane : lanes) lane = _mm512_setzero_si512();
  const double begin = threadSeconds();
  for (size_t i = 0; i + 512 <= bytes; i += 512)
    for (size_t j = 0; j < 8; ++j) {
      if (kPrefetch) _mm_prefetch(p + i + 64 * j + 4096, _MM_HINT_T0);
      lanes[j] = _mm512_or_si512(lanes[j], _mm512_loadu_si512(p + i + 64 * j));
    }
  const double time = threadSeconds() - begin;
  for (int j = 1; j < 8; ++j) lanes[0] = _mm512_or_si512(lanes[0], lanes[j]);
  int64_t words[8];
  _mm512_storeu_si512(words, lanes[0]);
  sink = words[0];
  return static_cast<double>(bytes) / time;
}

double readBandwidth(const void* memory, size_t bytes) {
  const auto* p = static_cast<const char*>(memory);
  const double plain = readOnce<false>(p, bytes), prefetched = readOnce<true>(p, bytes);
  return plain > prefetched ? plain : prefetched;
}

__attribute__((target("avx512f,avx512vnni"))) static double dotProductRate() {
  __m512i sum[16], a = _mm512_set1_epi32(0x01020304), b = _mm512_set1_epi32(0x0103fe01);
  for (int i = 0; i < 16; ++i) sum[i] = _mm512_set1_epi32(i);
  constexpr int64_t kRounds = 1 << 20;
  const double begin = threadSeconds();
  for (int64_t r = 0; r < kRounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
    __asm__ volatile("" : "+v"(a), "+v"(b));
  }
  const double time = threadSeconds() - begin;
  for (int i = 1; i < 16; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  int64_t words[8];
  _mm512_storeu_si512(words, sum[0]);
  sink = words[0];
  return static_cast<double>(kRounds) * 16 * 128 / time;
}

double int8Peak() { return __builtin_cpu_supports("avx512vnni") ? dotProductRate() : 0.0; }

#else

double readBandwidth(const void* memory, size_t bytes) {
  const auto* p = static_cast<const int64_t*>(memory);
  int64_t sum[8] = {};
  const double begin = threadSeconds();
  for (size_t i = 0; i + 8 <= bytes / 8; i += 8)
    for (size_t j = 0; j < 8; ++j) sum[j] |= p[i + j];
  const double time = threadSeconds() - begin;
  for (int64_t s : sum) sink = s;
  return static_cast<double>(bytes) / time;
}

double int8Peak() { return 0.0; }

#endif

}  // namespace pw::bench
