// SPDX-License-Identifier: Apache-2.0
/// @file What shows the limits of a core: each function does an amount of one kind of work and returns that amount.
#pragma once
#include <cstddef>

namespace pw::bench {

/// Seconds that this thread has spent on a processor: on a machine shared with others, the time of a single-threaded
/// measurement. Falls back to the steady clock where the system has no such counter.
double threadSeconds();
double wallSeconds();

/// Reads memory that is aligned to 64 bytes, in order.
/// @param prefetch asks for several pages in turn before they are read
/// @returns bytes
double read(const void* memory, size_t bytes, bool prefetch);

/// 8-bit integer products and sums (512-bit vpdpbusd; else vpmaddubsw, vpmaddwd and an addition). @returns operations,
/// two a multiply-add; 0 where there is no SIMD version
double multiplyInt8();

/// f32 fused multiply-adds. @returns operations, two each; 0 where there is no SIMD version
double multiplyF32();

/// Bytes per second that this thread reads from memory, which should exceed the caches: the better of plain reads and
/// reads with software prefetch.
double readBandwidth(const void* memory, size_t bytes);

/// Integer operations per second of this thread with vector instructions (AMX tiles can do more); 0 where there is no
/// SIMD version.
double int8Peak();

}  // namespace pw::bench
