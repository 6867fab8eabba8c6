// SPDX-License-Identifier: Apache-2.0
#include "work.h"

#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>

#include "cpu/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pw::bench {
namespace {

constexpr int64_t kSteps = 4'000'000;

volatile uint64_t sink;

#if defined(__x86_64__)
/// Prefetches are of a line of each of eight pages in turn, of the next window of as many.
template <bool kPrefetch>
__attribute__((target("avx2"))) double readAvx2(const char* p, size_t bytes) {
  constexpr size_t kPages = 8, kPage = 4096, kWindow = kPages * kPage, kChunk = kPages * 64;
  __m256i sum[8] = {};
  for (size_t i = 0; i + kChunk <= bytes; i += kChunk) {
    const char* ahead = p + i / kWindow * kWindow + kWindow + i % kWindow / kPages;
    for (size_t page = 0; page < kPages; ++page) {
      if (kPrefetch) _mm_prefetch(ahead + page * kPage, _MM_HINT_T0);
      for (size_t j = page * 2; j < page * 2 + 2; ++j)
        sum[j % 8] = _mm256_xor_si256(sum[j % 8], _mm256_load_si256(reinterpret_cast<const __m256i*>(p + i + 32 * j)));
    }
  }
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

double read(const void* memory, size_t bytes, bool prefetch) {
  const auto* p = static_cast<const char*>(memory);
#if defined(__x86_64__)
  if (cpu::detectIsa() >= cpu::Isa::kAvx2) return prefetch ? readAvx2<true>(p, bytes) : readAvx2<false>(p, bytes);
#endif
  static_cast<void>(prefetch);
  uint64_t sum[8] = {};
  for (size_t i = 0; i + 64 <= bytes; i += 64)
    for (size_t j = 0; j < 8; ++j) {
      uint64_t word;
      std::memcpy(&word, p + i + 8 * j, 8);
      sum[j] ^= word;
    }
  for (int j = 1; j < 8; ++j) sum[0] ^= sum[j];
  sink = sum[0];
  return static_cast<double>(bytes);
}

double multiplyInt8() {
#if defined(__x86_64__)
  if (cpu::detectFeatures().vnni) return int8Vnni();
  if (cpu::detectIsa() >= cpu::Isa::kAvx2) return int8Avx2();
#endif
  return 0;
}

double multiplyF32() {
#if defined(__x86_64__)
  if (cpu::detectIsa() >= cpu::Isa::kAvx512) return fma512();
  if (cpu::detectIsa() >= cpu::Isa::kAvx2) return fma256();
#endif
  return 0;
}

double readBandwidth(const void* memory, size_t bytes) {
  double best = 0;
  for (const bool prefetch : {false, true}) {
    const double begin = threadSeconds(), done = read(memory, bytes, prefetch), rate = done / (threadSeconds() - begin);
    best = rate > best ? rate : best;
  }
  return best;
}

double int8Peak() {
  const double begin = threadSeconds(), done = multiplyInt8();
  return done > 0 ? done / (threadSeconds() - begin) : 0;
}

}  // namespace pw::bench
