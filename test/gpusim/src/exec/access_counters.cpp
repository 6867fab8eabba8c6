// SPDX-License-Identifier: Apache-2.0
#include "exec/access_counters.h"

#include <algorithm>

namespace gpusim {
namespace {

uint32_t bankPasses(const Lanes& lanes, uint32_t mask, uint32_t bytes, const uint8_t* shared, size_t* distinct) {
  std::array<uint32_t, kLanes * 4> words;
  size_t n = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint32_t first = uint32_t(lanes.pointer[lowestLane(m)] - shared) >> 2;
    const uint32_t last = uint32_t(lanes.pointer[lowestLane(m)] - shared + bytes - 1) >> 2;
    for (uint32_t w = first; w <= last && n < words.size(); ++w) words[n++] = w;
  }
  std::sort(words.begin(), words.begin() + n);
  n = size_t(std::unique(words.begin(), words.begin() + n) - words.begin());
  std::array<uint8_t, 32> bank = {};
  uint8_t most = 0;
  for (size_t i = 0; i < n; ++i) most = std::max(most, ++bank[words[i] & 31]);
  if (distinct) *distinct = n;
  return most;
}

}  // namespace

void countGlobal(Context& c, const Access& a, const Lanes& lanes, uint32_t mask) {
  std::array<uint64_t, 2 * kLanes> sectors;
  std::array<uint64_t, kLanes> starts;
  size_t n = 0, k = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint64_t address = lanes.address[lowestLane(m)];
    starts[k++] = address;
    sectors[n++] = address >> 5;
    if ((address + a.bytes - 1) >> 5 != address >> 5) sectors[n++] = (address + a.bytes - 1) >> 5;
  }
  std::sort(sectors.begin(), sectors.begin() + n);
  n = size_t(std::unique(sectors.begin(), sectors.begin() + n) - sectors.begin());
  std::sort(starts.begin(), starts.begin() + k);
  k = size_t(std::unique(starts.begin(), starts.begin() + k) - starts.begin());
  SiteCounters& site = c.worker->sites[c.pc - 1];
  ++site.requests;
  site.sectors += n;
  site.idealSectors += (k * a.bytes + 31) / 32;
  site.bytes += uint64_t(__builtin_popcount(mask)) * a.bytes;
  for (size_t i = 0; i < n; ++i) c.worker->touched.insert(sectors[i]);
}

void countShared(Context& c, const Access& a, const Lanes& lanes, uint32_t mask) {
  SiteCounters& site = c.worker->sites[c.pc - 1];
  const uint8_t* shared = c.block->shared.data();
  size_t distinct = 0;
  uint32_t passes = bankPasses(lanes, mask, a.bytes, shared, &distinct);
  if (passes > 1 && a.bytes > 4) {
    const uint32_t parts = std::min(a.bytes / 4, 4u), width = kLanes / parts;
    passes = 0;
    for (uint32_t part = 0; part < parts; ++part) {
      const uint32_t sub = mask & (((width == 32 ? 0 : 1u << width) - 1) << (part * width));
      if (sub) passes += bankPasses(lanes, sub, a.bytes, shared, nullptr);
    }
  }
  ++site.requests;
  site.wavefronts += passes;
  site.idealWavefronts += (distinct + 31) / 32;
}

}  // namespace gpusim
