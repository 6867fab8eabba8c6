// SPDX-License-Identifier: Apache-2.0
#include "check/race.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace gpusim {
namespace {

constexpr uint32_t kSeveral = 1u << 10;

}  // namespace

void SharedRaceShadow::reset(uint32_t bytes, uint32_t granule, uint32_t warps) {
  granule_ = granule;
  if (!granule) return;
  shift_ = granule == 1 ? 0 : granule == 2 ? 1 : 2;
  warps_ = warps;
  cells_.assign((bytes >> shift_) + 1, Cell{});
  for (auto& c : clocks_) c.fill(0);
  for (uint32_t w = 0; w < 32; ++w) clocks_[w][w] = 1;
  released_.clear();
}

RaceHit SharedRaceShadow::read(uint32_t warp, uint32_t lane, uint32_t offset, uint32_t bytes) {
  RaceHit hit;
  const uint32_t now = stamp(clocks_[warp][warp], warp, lane);
  for (uint32_t g = offset >> shift_, end = (offset + bytes - 1) >> shift_; g <= end; ++g) {
    Cell& c = cells_[g];
    if (c.write && c.write != now && concurrent(c.write, warp, lane) && !hit.found)
      hit = {true, true, c.write & 1023, c.writePc, 0};
    if (!c.read || (c.read >> 5 & 31) == warp) {
      const bool sameTime = c.read && c.read >> 11 == now >> 11;
      c.read = sameTime && ((c.read ^ now) & 31 || c.read & kSeveral) ? now | kSeveral : now;
    } else {
      c.otherRead = c.read;
      c.read = now;
    }
  }
  return hit;
}

RaceHit SharedRaceShadow::write(uint32_t warp, uint32_t lane, uint32_t offset, uint32_t bytes, uint32_t pc,
                                bool sameValue, bool strong) {
  RaceHit hit;
  const uint32_t now = stamp(clocks_[warp][warp], warp, lane);
  for (uint32_t g = offset >> shift_, end = (offset + bytes - 1) >> shift_; g <= end; ++g) {
    Cell& c = cells_[g];
    if (!hit.found) {
      if (c.write && !sameValue && c.write != now && concurrent(c.write, warp, lane))
        hit = {true, true, c.write & 1023, c.writePc, 0};
      else if (!strong && c.read && c.read != now && concurrent(c.read, warp, lane))
        hit = {true, false, c.read & 1023, ~0u, 0};
      else if (!strong && c.otherRead && concurrent(c.otherRead, warp, lane))
        hit = {true, false, c.otherRead & 1023, ~0u, 0};
    }
    if (!strong) c = {now, 0, 0, pc};
  }
  return hit;
}

void SharedRaceShadow::barrier(uint32_t warps) {
  Clock joined{};
  for (uint32_t w = 0; w < warps_; ++w)
    if (warps >> w & 1)
      for (uint32_t v = 0; v < warps_; ++v) joined[v] = std::max(joined[v], clocks_[w][v]);
  for (uint32_t w = 0; w < warps_; ++w) {
    if (!(warps >> w & 1)) continue;
    clocks_[w] = joined;
    ++clocks_[w][w];
  }
}

void SharedRaceShadow::warpSync(uint32_t warp) { ++clocks_[warp][warp]; }

void SharedRaceShadow::acquire(uint32_t warp, uint64_t address) {
  auto it = released_.find(address);
  if (it == released_.end()) return;
  for (uint32_t v = 0; v < warps_; ++v) clocks_[warp][v] = std::max(clocks_[warp][v], it->second[v]);
}

void SharedRaceShadow::release(uint32_t warp, uint64_t address) {
  auto [it, fresh] = released_.try_emplace(address);
  if (fresh) it->second.fill(0);
  for (uint32_t v = 0; v < warps_; ++v) it->second[v] = std::max(it->second[v], clocks_[warp][v]);
  ++clocks_[warp][warp];
}

void GlobalRaceShadow::reset(uint32_t granule) {
  cells_.reset(granule);
  timed_.reset(granule);
}

void GlobalRaceShadow::read(uint64_t address, uint32_t bytes, AccessKey key, uint32_t each) {
  cells_.visit(address, bytes, [=](Cell& c, uint64_t at, uint32_t) {
    const AccessKey k = key + (std::max(at, address) - address) / each;
    c.minRead = std::min(c.minRead, k);
    c.maxRead = std::max(c.maxRead, k);
  });
}

void GlobalRaceShadow::write(uint64_t address, uint32_t bytes, AccessKey key, const uint8_t* value, uint32_t each) {
  cells_.visit(address, bytes, [=](Cell& c, uint64_t at, uint32_t n) {
    const uint64_t from = std::max(at, address) - address;
    const AccessKey k = key + from / each;
    uint64_t digest = 0;
    for (uint32_t i = 0; i < n; i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, value + from + i, std::min(n - i, 8u));
      digest = (digest ^ word) * (n > 8 ? 0x9E3779B97F4A7C15ull : 1);
    }
    if (!c.hasValue)
      c.value = digest, c.hasValue = true;
    else if (c.value != digest)
      c.valuesDiffer = true;
    c.minWrite = std::min(c.minWrite, k);
    c.maxWrite = std::max(c.maxWrite, k);
  });
}

void GlobalRaceShadow::merge(GlobalRaceShadow& other) {
  cells_.merge(other.cells_, [](Cell& a, const Cell& b) {
    a.minWrite = std::min(a.minWrite, b.minWrite);
    a.maxWrite = std::max(a.maxWrite, b.maxWrite);
    a.minRead = std::min(a.minRead, b.minRead);
    a.maxRead = std::max(a.maxRead, b.maxRead);
    a.valuesDiffer |= b.valuesDiffer || (a.hasValue && b.hasValue && a.value != b.value);
    if (!a.hasValue) a.value = b.value;
    a.hasValue |= b.hasValue;
  });
}

std::vector<GlobalRace> GlobalRaceShadow::collect() const {
  std::vector<GlobalRace> races;
  std::set<std::pair<uint32_t, uint32_t>> seen;
  cells_.forEach([&](const Cell& c, uint64_t address) {
    if (c.minWrite == kNone) return;
    GlobalRace r;
    r.address = address;
    r.first = c.minWrite;
    r.firstWrites = true;
    if (keyBlock(c.minWrite) != keyBlock(c.maxWrite) && c.valuesDiffer)
      r.second = c.maxWrite, r.secondWrites = true;
    else if (c.minRead != kNone && keyBlock(c.minRead) != keyBlock(c.minWrite))
      r.second = c.minRead;
    else if (c.minRead != kNone && keyBlock(c.maxRead) != keyBlock(c.minWrite))
      r.second = c.maxRead;
    else
      return;
    if (seen.insert({keyPc(r.first), keyPc(r.second)}).second) races.push_back(r);
  });
  return races;
}

bool GlobalRaceShadow::readAt(uint64_t address, uint32_t bytes, AccessKey key, uint64_t now, uint64_t acquired,
                              GlobalRace& race) {
  bool found = false;
  timed_.visit(address, bytes, [&](TimedCell& c, uint64_t at, uint32_t) {
    if (!found && c.write != kNone && keyBlock(c.write) != keyBlock(key) && c.writeTime >= acquired) {
      race = {std::max(at, address), c.write, key, true, false};
      found = true;
    }
    if (c.read != kNone && keyBlock(c.read) != keyBlock(key)) c.otherRead = c.read, c.otherReadTime = c.readTime;
    c.read = key, c.readTime = now;
  });
  return found;
}

bool GlobalRaceShadow::writeAt(uint64_t address, uint32_t bytes, AccessKey key, uint64_t now, uint64_t acquired,
                               bool sameValue, GlobalRace& race) {
  bool found = false;
  timed_.visit(address, bytes, [&](TimedCell& c, uint64_t at, uint32_t) {
    auto conflicts = [&](AccessKey k, uint64_t time) {
      return k != kNone && keyBlock(k) != keyBlock(key) && time >= acquired;
    };
    if (!found) {
      const bool writes = !sameValue && conflicts(c.write, c.writeTime);
      const bool reads = conflicts(c.read, c.readTime), others = conflicts(c.otherRead, c.otherReadTime);
      found = writes || reads || others;
      if (found) race = {std::max(at, address), writes ? c.write : reads ? c.read : c.otherRead, key, writes, true};
    }
    c.write = key, c.writeTime = now;
    c.read = c.otherRead = kNone;
  });
  return found;
}

void SectorSet::insert(uint64_t sector) {
  const uint64_t page = sector >> 10;
  if (page != last_) {
    auto [it, fresh] = pages_.try_emplace(page);
    if (fresh) it->second.fill(0);
    last_ = page;
    lastPage_ = &it->second;
  }
  (*lastPage_)[sector >> 6 & 15] |= 1ull << (sector & 63);
}

void SectorSet::merge(const SectorSet& other) {
  for (auto& [page, bits] : other.pages_) {
    auto [it, fresh] = pages_.try_emplace(page);
    if (fresh) it->second.fill(0);
    for (size_t i = 0; i < bits.size(); ++i) it->second[i] |= bits[i];
  }
  last_ = ~0ull;
}

uint64_t SectorSet::count() const {
  uint64_t n = 0;
  for (auto& [page, bits] : pages_)
    for (uint64_t b : bits) n += uint64_t(__builtin_popcountll(b));
  return n;
}

}  // namespace gpusim
