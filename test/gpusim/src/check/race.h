// SPDX-License-Identifier: Apache-2.0
/// @file race.h
/// Happens-before race detection. Shared memory: vector clocks between the warps of a block (Flanagan and Freund,
/// FastTrack, 2009), synchronised by barriers and by communicating accesses. Global memory: between blocks, see
/// GlobalRaceShadow.
#pragma once

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
  /// that changes nothing, which does not conflict with another write.
  RaceHit read(uint32_t warp, uint32_t lane, uint32_t offset, uint32_t bytes);
  RaceHit write(uint32_t warp, uint32_t lane, uint32_t offset, uint32_t bytes, uint32_t pc, bool sameValue);

  void barrier(uint32_t warps);     ///< everything before it in these warps is ordered before everything after
  void warpSync(uint32_t warp);     ///< the same between the lanes of a warp
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

/// Global memory accesses of the blocks of one launch, in pages allocated on first touch.
///
/// Launches without inter-block synchronisation: every granule remembers the least and greatest accessing block, which
/// does not depend on the order of execution; conflicts are found at the end (`collect`). Interleaved launches: the last
/// write and reads with the time of the launch's release clock; an access is ordered after another block's when its
/// own block has acquired a release made since.
class GlobalRaceShadow {
 public:
  static constexpr uint64_t kPageBytes = 4096;
  void reset(uint32_t granule);
  bool enabled() const { return granule_ != 0; }

  void read(uint64_t address, uint32_t bytes, AccessKey key);
  void write(uint64_t address, uint32_t bytes, AccessKey key, const uint8_t* value);
  /// The same for 32 lanes side by side, `bytes` each; the keys are consecutive.
  void readLanes(uint64_t address, uint32_t bytes, AccessKey key);
  void writeLanes(uint64_t address, uint32_t bytes, AccessKey key, const uint8_t* value);
  void merge(GlobalRaceShadow& other);
  /// All conflicts, by address, at most one for each pair of instructions.
  std::vector<GlobalRace> collect() const;

  /// Interleaved launches; true when a conflict was found.
  bool readAt(uint64_t address, uint32_t bytes, AccessKey key, uint64_t now, uint64_t acquired, GlobalRace& race);
  bool writeAt(uint64_t address, uint32_t bytes, AccessKey key, uint64_t now, uint64_t acquired, bool sameValue, GlobalRace& race);

 private:
  struct Cell {
    AccessKey minWrite, maxWrite, minRead, maxRead;
    uint32_t value, flags;  ///< flags: 1 value is set, 2 values differ
  };
  struct TimedCell {
    AccessKey write, read, otherRead;
    uint32_t writeTime, readTime, otherReadTime, unused;
  };
  void noteWrite(Cell& c, AccessKey key, uint32_t value) {
    if (!(c.flags & 1)) c.value = value, c.flags |= 1;
    else if (c.value != value) c.flags |= 2;
    if (key < c.minWrite) c.minWrite = key;
    if (key > c.maxWrite) c.maxWrite = key;
  }
  static_assert(sizeof(Cell) == sizeof(TimedCell));
  Cell* page(uint64_t address);
  TimedCell* timedCell(uint64_t address) { return reinterpret_cast<TimedCell*>(cell(address)); }
  Cell* cell(uint64_t address) { return page(address) + (address % kPageBytes >> shift_); }

  uint32_t granule_ = 0;
  uint32_t shift_ = 2;
  uint64_t lastPage_ = ~0ull;
  Cell* lastCells_ = nullptr;
  std::unordered_map<uint64_t, std::unique_ptr<Cell[]>> pages_;
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
