// SPDX-License-Identifier: Apache-2.0
/// @file race.h
/// Happens-before race detection. Shared memory: vector clocks between the warps of a block (Flanagan and Freund,
/// FastTrack, 2009), synchronised by barriers and by communicating accesses. Global memory: between blocks, see
/// GlobalRaceShadow.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace gpusim {

/// The earlier of two conflicting accesses.
struct RaceHit {
  bool found = false;
  bool earlierWrite = false;
  uint32_t thread = 0;  ///< within the block: warp * 32 + lane
  uint32_t pc = 0;      ///< of the earlier access if known, else kNoPc
  uint64_t block = 0;   ///< global memory only
};

class SharedRaceShadow {
 public:
  void reset(uint32_t bytes, uint32_t granule, uint32_t warps);
  bool enabled() const { return granule_ != 0; }

  /// Notes an access by a lane and looks for a conflicting one that is not ordered before it. `sameValue`: a write
  /// that changes nothing, which does not conflict with another write. `strong`: a volatile write, which conflicts with
  /// earlier writes that are not, and is not noted itself.
  RaceHit read(uint32_t warp, uint32_t lane, uint32_t offset, uint32_t bytes);
  RaceHit write(uint32_t warp, uint32_t lane, uint32_t offset, uint32_t bytes, uint32_t pc, bool sameValue,
                bool strong);

  void barrier(uint32_t warps);  ///< everything before it in these warps is ordered before everything after
  void warpSync(uint32_t warp);  ///< the same between the lanes of a warp
  void acquire(uint32_t warp, uint64_t address);
  void release(uint32_t warp, uint64_t address);

 private:
  using Clock = std::array<uint32_t, 32>;
  struct Cell {
    uint32_t write = 0, read = 0, otherRead = 0, writePc = 0;
  };
  // stamp: clock << 11 | several lanes << 10 | warp << 5 | lane
  static uint32_t stamp(uint32_t clock, uint32_t warp, uint32_t lane) { return clock << 11 | warp << 5 | lane; }
  bool concurrent(uint32_t stamp, uint32_t warp, uint32_t lane) const {
    const uint32_t other = stamp >> 5 & 31, clock = stamp >> 11;
    if (other == warp) return clock == clocks_[warp][warp] && ((stamp & 31) != lane || (stamp & 1 << 10));
    return clock > clocks_[warp][other];
  }

  uint32_t granule_ = 0;
  uint32_t shift_ = 2;
  uint32_t warps_ = 0;
  std::vector<Cell> cells_;
  std::array<Clock, 32> clocks_;
  std::unordered_map<uint64_t, Clock> released_;
};

/// Identifies an access in global memory: block << 34 | pc << 10 | thread.
using AccessKey = uint64_t;
inline AccessKey accessKey(uint64_t block, uint32_t pc, uint32_t thread) {
  return block << 34 | uint64_t(pc & 0xFFFFFF) << 10 | (thread & 1023);
}
inline uint64_t keyBlock(AccessKey k) { return k >> 34; }
inline uint32_t keyPc(AccessKey k) { return uint32_t(k >> 10) & 0xFFFFFF; }
inline uint32_t keyThread(AccessKey k) { return uint32_t(k) & 1023; }

struct GlobalRace {
  uint64_t address = 0;
  AccessKey first = 0, second = 0;
  bool firstWrites = false, secondWrites = false;
};

/// Cells for the addresses a launch touches: one for a 32-byte sector as long as it is accessed as a whole, else one
/// for each granule in it.
template <class Cell>
class ShadowMemory {
 public:
  static constexpr uint64_t kSector = 32, kPageBytes = 4096, kSectors = kPageBytes / kSector;

  void reset(uint32_t granule) {
    granule_ = granule;
    pages_.clear();
    slabs_.clear();
    parts_.clear();
    used_ = kSlabPages;
    recent_.fill({});
  }
  /// f(cell, address, bytes) for every cell of a range.
  template <class F>
  void visit(uint64_t address, uint32_t bytes, F f) {
    while (bytes) {
      const uint64_t base = address / kSector * kSector;
      const uint32_t n = std::min(bytes, uint32_t(base + kSector - address));
      Sector& s = page(address)[address % kPageBytes / kSector];
      if (n == kSector && !s.parts) {
        f(s.whole, base, uint32_t(kSector));
      } else {
        split(s);
        for (uint64_t g = (address - base) / granule_; g <= (address - base + n - 1) / granule_; ++g)
          f(s.parts[g], base + g * granule_, granule_);
      }
      address += n, bytes -= n;
    }
  }
  /// combine(ours, theirs) for every cell that both have.
  template <class F>
  void merge(ShadowMemory& other, F combine) {
    for (auto& [index, theirs] : other.pages_) {
      auto& ours = pages_[index];
      if (!ours) {
        ours = theirs;
        continue;
      }
      for (size_t i = 0; i < kSectors; ++i) {
        Sector &a = ours[i], &b = theirs[i];
        if (!a.parts && !b.parts) {
          combine(a.whole, b.whole);
          continue;
        }
        split(a), split(b);
        for (size_t g = 0; g < kSector / granule_; ++g) combine(a.parts[g], b.parts[g]);
      }
    }
    // pages taken over live in the other's slabs
    for (auto& slab : other.slabs_) slabs_.push_back(std::move(slab));
    for (auto& parts : other.parts_) parts_.push_back(std::move(parts));
    used_ = kSlabPages;
    other.reset(granule_);
    recent_.fill({});
  }
  /// f(cell, address) in the order of addresses.
  template <class F>
  void forEach(F f) const {
    std::vector<uint64_t> order;
    for (auto& [index, sectors] : pages_) order.push_back(index);
    std::sort(order.begin(), order.end());
    for (uint64_t index : order) {
      const Sector* sectors = pages_.at(index);
      for (size_t i = 0; i < kSectors; ++i) {
        const uint64_t base = index * kPageBytes + i * kSector;
        if (!sectors[i].parts)
          f(sectors[i].whole, base);
        else
          for (size_t g = 0; g < kSector / granule_; ++g) f(sectors[i].parts[g], base + g * granule_);
      }
    }
  }

 private:
  struct Sector {
    Cell whole;
    Cell* parts = nullptr;
  };
  static constexpr size_t kSlabPages = 16;
  struct Recent {
    uint64_t index = ~0ull;
    Sector* sectors = nullptr;
  };

  void split(Sector& s) {
    if (s.parts) return;
    const size_t n = kSector / granule_;
    parts_.push_back(std::make_unique<Cell[]>(n));
    s.parts = parts_.back().get();
    for (size_t g = 0; g < n; ++g) s.parts[g] = s.whole;
  }
  /// Kernels walk several arrays at once: the last page of each is remembered.
  Sector* page(uint64_t address) {
    const uint64_t index = address / kPageBytes;
    Recent& recent = recent_[(index ^ index >> 8 ^ index >> 16) % recent_.size()];
    if (recent.index != index) {
      Sector*& sectors = pages_[index];
      if (!sectors) {
        if (used_ == kSlabPages) slabs_.push_back(std::make_unique<Sector[]>(kSectors * kSlabPages)), used_ = 0;
        sectors = slabs_.back().get() + kSectors * used_++;
      }
      recent = {index, sectors};
    }
    return recent.sectors;
  }

  uint32_t granule_ = 4;
  size_t used_ = kSlabPages;  ///< pages taken from the last slab
  std::array<Recent, 16> recent_;
  std::unordered_map<uint64_t, Sector*> pages_;
  std::vector<std::unique_ptr<Sector[]>> slabs_;
  std::vector<std::unique_ptr<Cell[]>> parts_;
};

/// Global memory accesses of the blocks of one launch.
///
/// Launches without inter-block synchronisation: every cell remembers the least and greatest accessing block, which
/// does not depend on the order of execution; conflicts are found at the end (`collect`). Interleaved launches: the
/// last write and reads with the time of the launch's release clock; an access is ordered after another block's when
/// its own block has acquired a release made since.
class GlobalRaceShadow {
 public:
  void reset(uint32_t granule);

  /// A range whose threads access `each` bytes; their keys follow each other.
  void read(uint64_t address, uint32_t bytes, AccessKey key, uint32_t each);
  void write(uint64_t address, uint32_t bytes, AccessKey key, const uint8_t* value, uint32_t each);
  void merge(GlobalRaceShadow& other);
  /// All conflicts, by address, at most one for each pair of instructions.
  std::vector<GlobalRace> collect() const;

  /// Interleaved launches; true when a conflict was found.
  bool readAt(uint64_t address, uint32_t bytes, AccessKey key, uint64_t now, uint64_t acquired, GlobalRace& race);
  bool writeAt(uint64_t address, uint32_t bytes, AccessKey key, uint64_t now, uint64_t acquired, bool sameValue,
               GlobalRace& race);

 private:
  static constexpr AccessKey kNone = ~0ull;
  struct Cell {
    AccessKey minWrite = kNone, maxWrite = 0, minRead = kNone, maxRead = 0;
    uint64_t value = 0;  ///< what was written first (a digest for a sector)
    bool hasValue = false, valuesDiffer = false;
  };
  struct TimedCell {
    AccessKey write = kNone, read = kNone, otherRead = kNone;
    uint64_t writeTime = 0, readTime = 0, otherReadTime = 0;
  };

  ShadowMemory<Cell> cells_;
  ShadowMemory<TimedCell> timed_;
};

/// When a location was last released to, by address.
using ReleaseTimes = std::unordered_map<uint64_t, uint64_t>;

/// Distinct 32-byte sectors.
class SectorSet {
 public:
  void clear() { pages_.clear(), last_ = ~0ull; }
  void insert(uint64_t sector);
  void merge(const SectorSet& other);
  uint64_t count() const;

 private:
  std::unordered_map<uint64_t, std::array<uint64_t, 16>> pages_;  ///< 1024 sectors each
  uint64_t last_ = ~0ull;
  std::array<uint64_t, 16>* lastPage_ = nullptr;
};

}  // namespace gpusim
