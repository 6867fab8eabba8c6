// SPDX-License-Identifier: Apache-2.0
#include "probe.h"

#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pw::bench {
namespace {

volatile int64_t sink;

}  // namespace

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

#if defined(__x86_64__)

__attribute__((target("avx512f"))) double readBandwidth(const void* memory, size_t bytes) {
  const auto* p = static_cast<const char*>(memory);
  __m512i lanes[8] = {};
  const double begin = now();
  for (size_t i = 0; i + 512 <= bytes; i += 512)
    for (size_t j = 0; j < 8; ++j) lanes[j] = _mm512_or_si512(lanes[j], _mm512_loadu_si512(p + i + 64 * j));
  const double time = now() - begin;
  for (int j = 1; j < 8; ++j) lanes[0] = _mm512_or_si512(lanes[0], lanes[j]);
  sink = _mm512_reduce_or_epi64(lanes[0]);
  return static_cast<double>(bytes) / time;
}

__attribute__((target("avx512f,avx512vnni"))) static double dotProductRate() {
  __m512i sum[16], a = _mm512_set1_epi32(0x01020304), b = _mm512_set1_epi32(0x0103fe01);
  for (int i = 0; i < 16; ++i) sum[i] = _mm512_set1_epi32(i);
  constexpr int64_t kRounds = 1 << 20;
  const double begin = now();
  for (int64_t r = 0; r < kRounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
    __asm__ volatile("" : "+v"(a), "+v"(b));
  }
  const double time = now() - begin;
  for (int i = 1; i < 16; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  sink = _mm512_reduce_add_epi32(sum[0]);
  return static_cast<double>(kRounds) * 16 * 128 / time;
}

double int8Peak() { return __builtin_cpu_supports("avx512vnni") ? dotProductRate() : 0.0; }

#else

double readBandwidth(const void* memory, size_t bytes) {
  const auto* p = static_cast<const int64_t*>(memory);
  int64_t sum[8] = {};
  const double begin = now();
  for (size_t i = 0; i + 8 <= bytes / 8; i += 8)
    for (size_t j = 0; j < 8; ++j) sum[j] |= p[i + j];
  const double time = now() - begin;
  for (int64_t s : sum) sink = s;
  return static_cast<double>(bytes) / time;
}

double int8Peak() { return 0.0; }

#endif

}  // namespace pw::bench
