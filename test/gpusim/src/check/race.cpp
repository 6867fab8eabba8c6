// SPDX-License-Identifier: Apache-2.0
#include "check/race.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace gpusim {
namespace {

constexpr uint32_t kSeveral = 1u << 10;
constexpr AccessKey kNone = ~0ull;
enum : uint32_t { kHasValue = 1, kValuesDiffer = 2 };

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

RaceHit SharedRaceShadow::write(uint32_t warp, uint32_t lane, uint32_t offset, uint32_t bytes, uint32_t pc, bool sameValue) {
  RaceHit hit;
  const uint32_t now = stamp(clocks_[warp][warp], warp, lane);
  for (uint32_t g = offset >> shift_, end = (offset + bytes - 1) >> shift_; g <= end; ++g) {
    Cell& c = cells_[g];
    if (!hit.found) {
      if (c.write && !sameValue && c.write != now && concurrent(c.write, warp, lane)) hit = {true, true, c.write & 1023, c.writePc, 0};
      else if (c.read && c.read != now && concurrent(c.read, warp, lane)) hit = {true, false, c.read & 1023, ~0u, 0};
      else if (c.otherRead && concurrent(c.otherRead, warp, lane)) hit = {true, false, c.otherRead & 1023, ~0u, 0};
    }
    c = {now, 0, 0, pc};
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
  granule_ = granule;
  shift_ = granule == 1 ? 0 : granule == 2 ? 1 : 2;
  pages_.clear();
  lastPage_ = ~0ull;
}

GlobalRaceShadow::Cell* GlobalRaceShadow::page(uint64_t address) {
  const uint64_t index = address / kPageBytes;
  if (index == lastPage_) return lastCells_;
  auto& cells = pages_[index];
  if (!cells) {
    const size_t n = kPageBytes >> shift_;
    cells = std::make_unique<Cell[]>(n);
    for (size_t i = 0; i < n; ++i) cells[i] = {kNone, 0, kNone, 0, 0, 0};
  }
  lastPage_ = index;
  lastCells_ = cells.get();
  return lastCells_;
}

void GlobalRaceShadow::read(uint64_t address, uint32_t bytes, AccessKey key) {
  for (uint64_t a = address >> shift_, end = (address + bytes - 1) >> shift_; a <= end; ++a) {
    Cell& c = *cell(a << shift_);
    c.minRead = std::min(c.minRead, key);
    c.maxRead = std::max(c.maxRead, key);
  }
}

void GlobalRaceShadow::write(uint64_t address, uint32_t bytes, AccessKey key, const uint8_t* value) {
  for (uint64_t a = address >> shift_, end = (address + bytes - 1) >> shift_; a <= end; ++a) {
    Cell& c = *cell(a << shift_);
    uint32_t v = 0;
    std::memcpy(&v, value + ((a << shift_) - (address >> shift_ << shift_)), granule_);
    noteWrite(c, key, v);
  }
}

void GlobalRaceShadow::readLanes(uint64_t address, uint32_t bytes, AccessKey key) {
  if (bytes < granule_ || address % kPageBytes + 32 * bytes > kPageBytes) {
    for (uint32_t lane = 0; lane < 32; ++lane) read(address + lane * bytes, bytes, key + lane);
    return;
  }
  Cell* c = cell(address);
  const uint32_t each = bytes >> shift_;
  for (uint32_t lane = 0; lane < 32; ++lane, ++key) {
    for (uint32_t k = 0; k < each; ++k, ++c) {
      c->minRead = std::min(c->minRead, key);
      c->maxRead = std::max(c->maxRead, key);
    }
  }
}

void GlobalRaceShadow::writeLanes(uint64_t address, uint32_t bytes, AccessKey key, const uint8_t* value) {
  if (bytes < granule_ || address % kPageBytes + 32 * bytes > kPageBytes) {
    for (uint32_t lane = 0; lane < 32; ++lane) write(address + lane * bytes, bytes, key + lane, value + lane * bytes);
    return;
  }
  Cell* c = cell(address);
  const uint32_t each = bytes >> shift_;
  for (uint32_t lane = 0; lane < 32; ++lane, ++key) {
    for (uint32_t k = 0; k < each; ++k, ++c, value += granule_) {
      uint32_t v = 0;
      std::memcpy(&v, value, granule_);
      noteWrite(*c, key, v);
    }
  }
}

void GlobalRaceShadow::merge(GlobalRaceShadow& other) {
  for (auto& [index, theirs] : other.pages_) {
    auto& ours = pages_[index];
    if (!ours) {
      ours = std::move(theirs);
      continue;
    }
    for (size_t i = 0; i < kPageBytes >> shift_; ++i) {
      Cell &a = ours[i], &b = theirs[i];
      a.minWrite = std::min(a.minWrite, b.minWrite);
      a.maxWrite = std::max(a.maxWrite, b.maxWrite);
      a.minRead = std::min(a.minRead, b.minRead);
      a.maxRead = std::max(a.maxRead, b.maxRead);
      if ((a.flags & b.flags & kHasValue) && a.value != b.value) a.flags |= kValuesDiffer;
      if (!(a.flags & kHasValue)) a.value = b.value;
      a.flags |= b.flags;
    }
  }
  lastPage_ = ~0ull;
}

std::vector<GlobalRace> GlobalRaceShadow::collect() const {
  std::vector<uint64_t> order;
  for (auto& [index, cells] : pages_) order.push_back(index);
  std::sort(order.begin(), order.end());
  std::vector<GlobalRace> races;
  std::set<std::pair<uint32_t, uint32_t>> seen;
  for (uint64_t index : order) {
    const Cell* cells = pages_.at(index).get();
    for (size_t i = 0; i < kPageBytes >> shift_; ++i) {
      const Cell& c = cells[i];
      if (c.minWrite == kNone) continue;
      GlobalRace r;
      r.address = index * kPageBytes + (i << shift_);
      if (keyBlock(c.minWrite) != keyBlock(c.maxWrite) && (c.flags & kValuesDiffer)) {
        r.first = c.minWrite, r.second = c.maxWrite, r.firstWrites = r.secondWrites = true;
      } else if (c.minRead != kNone && keyBlock(c.minRead) != keyBlock(c.minWrite)) {
        r.first = c.minWrite, r.second = c.minRead, r.firstWrites = true;
      } else if (c.minRead != kNone && keyBlock(c.maxRead) != keyBlock(c.minWrite)) {
        r.first = c.minWrite, r.second = c.maxRead, r.firstWrites = true;
      } else {
        continue;
      }
      if (seen.insert({keyPc(r.first), keyPc(r.second)}).second) races.push_back(r);
    }
  }
  return races;
}

// TimedCell shares the storage; kNone and 0 of a fresh Cell are set right on the first access.
bool GlobalRaceShadow::readAt(uint64_t address, uint32_t bytes, AccessKey key, uint64_t now, uint64_t acquired, GlobalRace& race) {
  bool found = false;
  for (uint64_t a = address >> shift_, end = (address + bytes - 1) >> shift_; a <= end; ++a) {
    TimedCell& c = *timedCell(a << shift_);
    if (c.read == 0) c.read = c.otherRead = kNone;
    if (!found && c.write != kNone && keyBlock(c.write) != keyBlock(key) && c.writeTime >= acquired) {
      race = {a << shift_, c.write, key, true, false};
      found = true;
    }
    if (c.read != kNone && keyBlock(c.read) != keyBlock(key)) c.otherRead = c.read, c.otherReadTime = c.readTime;
    c.read = key, c.readTime = uint32_t(now);
  }
  return found;
}

bool GlobalRaceShadow::writeAt(uint64_t address, uint32_t bytes, AccessKey key, uint64_t now, uint64_t acquired, bool sameValue, GlobalRace& race) {
  bool found = false;
  for (uint64_t a = address >> shift_, end = (address + bytes - 1) >> shift_; a <= end; ++a) {
    TimedCell& c = *timedCell(a << shift_);
    if (c.read == 0) c.read = c.otherRead = kNone;
    auto conflicts = [&](AccessKey k, uint32_t time) { return k != kNone && keyBlock(k) != keyBlock(key) && time >= acquired; };
    if (!found && !sameValue && conflicts(c.write, c.writeTime)) race = {a << shift_, c.write, key, true, true}, found = true;
    else if (!found && conflicts(c.read, c.readTime)) race = {a << shift_, c.read, key, false, true}, found = true;
    else if (!found && conflicts(c.otherRead, c.otherReadTime)) race = {a << shift_, c.otherRead, key, false, true}, found = true;
    c.write = key, c.writeTime = uint32_t(now);
    c.read = c.otherRead = kNone;
  }
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
