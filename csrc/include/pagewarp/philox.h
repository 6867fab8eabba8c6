// SPDX-License-Identifier: Apache-2.0
/// @file Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
/// (SC'11). One definition for the CPU, CUDA and (mirrored in lib/tensor/philox.ts) TypeScript.
///
/// A draw is a pure function of (seed, stream, offset): a request's random numbers do not depend on the batch that it
/// runs in, on the number of threads, or on the backend.
#pragma once
#include <stdint.h>

#include "pagewarp/host_device.h"

typedef struct pw_philox4 {
  uint32_t x, y, z, w;
} pw_philox4;

/// Four independent 32-bit words for counter (offset, stream) under key `seed`.
PW_HOST_DEVICE static inline pw_philox4 pw_philox(uint64_t seed, uint64_t stream, uint64_t offset) {
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  uint32_t c0 = (uint32_t)offset, c1 = (uint32_t)(offset >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  pw_philox4 r = {c0, c1, c2, c3};
  return r;
}

/// Uniform in [0, 1) with 24 bits, exact in f32.
PW_HOST_DEVICE static inline float pw_uniform_f32(uint32_t bits) { return (float)(bits >> 8) * (1.0f / 16777216.0f); }

/// Uniform in (0, 1) with 53 bits: never 0, so that "accept when u < p" can never accept p == 0, and log(u) is finite.
PW_HOST_DEVICE static inline double pw_uniform_f64(uint32_t high, uint32_t low) {
  const uint64_t bits = (((uint64_t)high << 32) | low) >> 11;
  return ((double)bits + 0.5) * (1.0 / 9007199254740992.0);
}
