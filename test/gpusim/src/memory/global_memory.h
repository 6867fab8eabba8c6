// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "status.h"

namespace gpusim {

/// What an allocation was made for; it decides who may touch it and how a leak is described.
enum class MemoryKind : uint8_t {
  Device,          ///< cuMemAlloc
  StreamOrdered,   ///< cuMemAllocAsync (the caller frees it when the stream reaches the free)
  ModuleVariable,  ///< `.global` variables; owned by the module, never a leak
  ModuleManaged,   ///< `.attribute(.managed)` variables: host memory, device address == host address
  ModuleConstant,  ///< `.const` variables; read-only for kernels
  Workspace,       ///< owned by the simulator itself
  HostPinned,      ///< page-locked host memory, device address == host address
  Managed,         ///< cuMemAllocManaged, device address == host address
};

inline bool isManaged(MemoryKind kind) { return kind == MemoryKind::Managed || kind == MemoryKind::ModuleManaged; }

/// One live or freed range of device-visible memory.
struct Allocation {
  uint64_t base = 0;
  uint64_t size = 0;
  MemoryKind kind = MemoryKind::Device;
  uint64_t serial = 0;          ///< running number of the allocation, for reports and cuPointerGetAttribute
  std::string label;            ///< e.g. the variable's name; may be empty
  uint8_t* host = nullptr;      ///< where the bytes really live
  uint8_t* initBits = nullptr;  ///< one bit a byte, bit (address - base); null: not tracked, always initialised
  bool ownsHost = false;
};

/// Global memory of one device. Device addresses come from a range that is reserved without access, so that host code
/// which dereferences a device pointer crashes; the bytes live elsewhere. Every allocation is surrounded by red zones,
/// starts poisoned, and stays in quarantine for a while after it is freed. All functions may be called from any thread.
class GlobalMemory {
 public:
  /// @param capacity device memory in bytes  @param trackInit keep one initialised bit per byte
  explicit GlobalMemory(uint64_t capacity, bool trackInit = true);
  ~GlobalMemory();
  GlobalMemory(const GlobalMemory&) = delete;
  GlobalMemory& operator=(const GlobalMemory&) = delete;

  /// Allocates `size` bytes (256-byte aligned, contents poisoned). InvalidValue for size 0, OutOfMemory when the
  /// device's capacity would be exceeded.
  Status allocate(uint64_t size, MemoryKind kind, uint64_t& address, const std::string& label = "");
  /// Allocates host memory which kernels may access at the same address (HostPinned or Managed).
  Status allocateHost(uint64_t size, MemoryKind kind, void*& pointer);
  /// Makes existing host memory accessible to kernels (cuMemHostRegister) until unregisterHost.
  Status registerHost(void* pointer, uint64_t size);
  Status unregisterHost(void* pointer);
  /// Frees by base address, of any kind but registered memory. InvalidValue for any other address.
  Status free(uint64_t address);

  /// Copies; all bytes must lie in one live allocation, else InvalidValue and nothing is moved.
  /// Reading takes what is there, initialised or not.
  Status read(void* destination, uint64_t source, size_t bytes) const;
  Status write(uint64_t destination, const void* source, size_t bytes);
  Status copy(uint64_t destination, uint64_t source, size_t bytes);
  /// Fills `count` elements of `elementSize` (1, 2 or 4) bytes.
  Status fill(uint64_t destination, uint32_t value, size_t elementSize, size_t count);

  /// The live allocation containing an address; nothing when there is none.
  bool find(uint64_t address, Allocation& out) const;
  /// True when every byte of the range lies in one live allocation.
  bool contains(uint64_t address, size_t bytes) const;
  /// First byte of the range that was never written, as an offset; `bytes` when all were.
  size_t firstUninitialised(uint64_t address, size_t bytes) const;
  /// In words what lies at an address ("4 bytes after the 1024-byte allocation #7", "in freed allocation #3", ...).
  std::string describe(uint64_t address) const;

  uint64_t capacity() const { return capacity_; }
  uint64_t bytesInUse() const;
  /// True for every address of the device's range, allocated or not: never a host address.
  bool ownsAddress(uint64_t address) const { return address - reinterpret_cast<uint64_t>(range_) < reserved_; }
  /// Live allocations, oldest first; with userOnly those made by the program (Device, StreamOrdered, Managed,
  /// HostPinned).
  std::vector<Allocation> live(bool userOnly) const;

  /// Changes whenever an allocation is freed: a cached Allocation is good as long as this has not changed.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

  static constexpr uint16_t kPoison = 0x7FFD;  ///< NaN as f16, bf16, f32 and f64; a huge number as an integer
  static constexpr uint64_t kRedZone = 512;    ///< least distance between two allocations

 private:
  uint64_t takeSpan(uint64_t span);
  void retireSpan(uint64_t offset, uint64_t span);
  const Allocation* findLocked(uint64_t address) const;
  Status addHostRange(void* pointer, uint64_t size, MemoryKind kind, bool owns);

  uint64_t capacity_;
  bool trackInit_;
  uint64_t reserved_ = 0;       ///< size of the reserved address range
  uint8_t* range_ = nullptr;    ///< device addresses: no access
  uint8_t* backing_ = nullptr;  ///< the bytes
  uint8_t* initMap_ = nullptr;  ///< one bit per byte of the range
  uint64_t bump_ = 0;
  uint64_t inUse_ = 0;
  uint64_t serial_ = 0;
  std::atomic<uint64_t> generation_{1};
  mutable std::shared_mutex mutex_;
  std::map<uint64_t, Allocation> live_;
  std::map<uint64_t, Allocation> freed_;  ///< for reports; entries vanish when their range is used again
  std::deque<std::pair<uint64_t, uint64_t>> quarantine_;
  uint64_t quarantined_ = 0;
  std::multimap<uint64_t, uint64_t> reusable_;  ///< span -> offset
};

/// Sets `count` bits from bit `first` of a bitmap.
void setBits(uint8_t* bits, uint64_t first, uint64_t count, bool value);
/// True when all `count` bits from bit `first` are set.
bool allBits(const uint8_t* bits, uint64_t first, uint64_t count);
/// Fills memory with the repeated 16-bit pattern, in phase with even addresses.
void fillPattern(uint8_t* memory, size_t bytes, uint16_t pattern);

}  // namespace gpusim
