// SPDX-License-Identifier: Apache-2.0
/// @file What this machine can do at this moment: read bandwidth and integer peak of one core. Measured beside each
/// figure that is compared with them, since shared machines change from second to second.
#pragma once
#include <cstddef>

namespace pw::bench {

/// Seconds that this thread has spent on a processor: on a machine shared with others, the time of a single-threaded
/// measurement. Falls back to the steady clock where the system has no such counter.
double threadSeconds();
double wallSeconds();

/// Bytes per second that one thread reads from `bytes` of memory, which should exceed the caches: the better of
/// plain reads and reads with software prefetch.
double readBandwidth(const void* memory, size_t bytes);

/// Integer operations per second (2 per multiply-add) of one thread: 512-bit vpdpbusd where there is VNNI, else 0.
double int8Peak();

}  // namespace pw::bench
