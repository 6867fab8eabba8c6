// SPDX-License-Identifier: Apache-2.0
#include "memory/global_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

namespace gpusim {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kAlign = 512;
constexpr uint64_t kPoisonLimit = 1ull << 30;  // larger allocations are left zero: poisoning would commit their pages

uint64_t roundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

uint8_t* reserve(uint64_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  return static_cast<uint8_t*>(p);
}

bool commit(uint8_t* base, uint64_t offset, uint64_t bytes) {
  uint64_t first = offset / kPage * kPage;
  uint64_t last = roundUp(offset + bytes, kPage);
  return mprotect(base + first, last - first, PROT_READ | PROT_WRITE) == 0;
}

/// Gives whole pages back to the system; they read as zero afterwards.
void discard(uint8_t* base, uint64_t offset, uint64_t bytes) {
  uint64_t first = roundUp(offset, kPage);
  uint64_t last = (offset + bytes) / kPage * kPage;
  if (last > first) madvise(base + first, last - first, MADV_DONTNEED);
}

}  // namespace

void setBits(uint8_t* bits, uint64_t first, uint64_t count, bool value) {
  auto set = [&](uint8_t& byte, unsigned mask) { byte = uint8_t(value ? byte | mask : byte & ~mask); };
  while (count && (first & 7)) {
    set(bits[first >> 3], 1u << (first & 7));
    ++first, --count;
  }
  if (uint64_t whole = count >> 3) {
    std::memset(bits + (first >> 3), value ? 0xFF : 0, whole);
    first += whole * 8, count &= 7;
  }
  if (count) set(bits[first >> 3], (1u << count) - 1);
}

bool allBits(const uint8_t* bits, uint64_t first, uint64_t count) {
  while (count && (first & 7)) {
    if (!(bits[first >> 3] >> (first & 7) & 1)) return false;
    ++first, --count;
  }
  for (; count >= 64; first += 64, count -= 64) {
    uint64_t word;
    std::memcpy(&word, bits + (first >> 3), 8);
    if (word != ~0ull) return false;
  }
  for (; count >= 8; first += 8, count -= 8)
    if (bits[first >> 3] != 0xFF) return false;
  return !count || (bits[first >> 3] & ((1u << count) - 1)) == (1u << count) - 1;
}

void fillPattern(uint8_t* memory, size_t bytes, uint16_t pattern) {
  if (!bytes) return;
  if (reinterpret_cast<uintptr_t>(memory) & 1) {
    *memory++ = uint8_t(pattern >> 8);
    --bytes;
  }
  const uint64_t word = pattern * 0x0001000100010001ull;
  for (; bytes >= 8; memory += 8, bytes -= 8) std::memcpy(memory, &word, 8);
  std::memcpy(memory, &word, bytes);
}

GlobalMemory::GlobalMemory(uint64_t capacity, bool trackInit) : capacity_(capacity), trackInit_(trackInit) {
  reserved_ = roundUp(std::max<uint64_t>(capacity * 4, 1ull << 36), 1ull << 21);
  range_ = reserve(reserved_);
  backing_ = reserve(reserved_);
  initMap_ = reserve(reserved_ / 8);
  bump_ = kAlign * 8;
}

GlobalMemory::~GlobalMemory() {
  for (auto& [base, a] : live_)
    if (a.ownsHost) std::free(a.host);
  munmap(range_, reserved_);
  munmap(backing_, reserved_);
  munmap(initMap_, reserved_ / 8);
}

// Fresh addresses first; freed ones only when the reserved range is used up, oldest first.
uint64_t GlobalMemory::takeSpan(uint64_t span) {
  if (bump_ + span <= reserved_) {
    uint64_t offset = bump_;
    bump_ += span;
    return offset;
  }
  while (true) {
    auto fit = reusable_.lower_bound(span);
    if (fit != reusable_.end()) {
      auto [size, offset] = *fit;
      reusable_.erase(fit);
      if (size > span) reusable_.emplace(size - span, offset + span);
      uint64_t begin = reinterpret_cast<uint64_t>(range_) + offset;
      auto stale = freed_.lower_bound(begin);
      while (stale != freed_.end() && stale->first < begin + span) stale = freed_.erase(stale);
      return offset;
    }
    if (quarantine_.empty()) return 0;
    auto [offset, size] = quarantine_.front();
    quarantine_.pop_front();
    reusable_.emplace(size, offset);
  }
}

Status GlobalMemory::allocate(uint64_t size, MemoryKind kind, uint64_t& address, const std::string& label) {
  address = 0;
  if (!size) return Status::InvalidValue;
  std::unique_lock lock(mutex_);
  if (size > capacity_ || inUse_ + size > capacity_) return Status::OutOfMemory;
  const uint64_t span = roundUp(size + kRedZone, kAlign);
  const uint64_t offset = takeSpan(span);
  if (!offset) return Status::OutOfMemory;
  if (!commit(backing_, offset, span) || !commit(initMap_, offset / 8, span / 8 + 1)) return Status::OutOfMemory;
  if (size <= kPoisonLimit) fillPattern(backing_ + offset, span, kPoison);
  setBits(initMap_, offset, span, false);
  Allocation a;
  a.base = reinterpret_cast<uint64_t>(range_) + offset;
  a.size = size;
  a.kind = kind;
  a.serial = ++serial_;
  a.label = label;
  a.host = backing_ + offset;
  a.initBits = trackInit_ ? initMap_ + offset / 8 : nullptr;
  inUse_ += size;
  address = a.base;
  live_.emplace(a.base, std::move(a));
  return Status::Success;
}

Status GlobalMemory::addHostRange(void* pointer, uint64_t size, MemoryKind kind, bool owns) {
  std::unique_lock lock(mutex_);
  const uint64_t base = reinterpret_cast<uint64_t>(pointer);
  auto next = live_.lower_bound(base);
  if (next != live_.end() && next->first < base + size) return Status::InvalidValue;
  if (next != live_.begin()) {
    auto before = std::prev(next);
    if (before->second.base + before->second.size > base) return Status::InvalidValue;
  }
  Allocation a;
  a.base = base;
  a.size = size;
  a.kind = kind;
  a.serial = ++serial_;
  a.host = static_cast<uint8_t*>(pointer);
  a.ownsHost = owns;
  live_.emplace(base, std::move(a));
  freed_.erase(base);
  return Status::Success;
}

Status GlobalMemory::allocateHost(uint64_t size, MemoryKind kind, void*& pointer) {
  pointer = nullptr;
  if (!size) return Status::InvalidValue;
  void* p = std::aligned_alloc(kPage, roundUp(size, kPage));
  if (!p) return Status::OutOfMemory;
  fillPattern(static_cast<uint8_t*>(p), size, kPoison);
  Status status = addHostRange(p, size, kind, true);
  if (status != Status::Success) {
    std::free(p);
    return status;
  }
  pointer = p;
  return Status::Success;
}

Status GlobalMemory::registerHost(void* pointer, uint64_t size) {
  if (!pointer || !size) return Status::InvalidValue;
  return addHostRange(pointer, size, MemoryKind::HostPinned, false);
}

Status GlobalMemory::unregisterHost(void* pointer) {
  std::unique_lock lock(mutex_);
  auto it = live_.find(reinterpret_cast<uint64_t>(pointer));
  if (it == live_.end() || it->second.kind != MemoryKind::HostPinned || it->second.ownsHost)
    return Status::InvalidValue;
  live_.erase(it);
  generation_.fetch_add(1, std::memory_order_release);
  return Status::Success;
}

void GlobalMemory::retireSpan(uint64_t offset, uint64_t span) {
  fillPattern(backing_ + offset, std::min(span, kPoisonLimit), kPoison);
  if (span > 1 << 20) discard(backing_, offset, span);
  setBits(initMap_, offset, span, false);
  quarantine_.emplace_back(offset, span);
}

Status GlobalMemory::free(uint64_t address) {
  std::unique_lock lock(mutex_);
  auto it = live_.find(address);
  if (it == live_.end()) return Status::InvalidValue;
  Allocation a = it->second;
  const bool host = a.kind == MemoryKind::HostPinned || isManaged(a.kind);
  if (host && !a.ownsHost) return Status::InvalidValue;
  live_.erase(it);
  generation_.fetch_add(1, std::memory_order_release);
  if (host) {
    std::free(a.host);
    return Status::Success;
  }
  inUse_ -= a.size;
  retireSpan(a.base - reinterpret_cast<uint64_t>(range_), roundUp(a.size + kRedZone, kAlign));
  a.host = a.initBits = nullptr;
  freed_[a.base] = std::move(a);
  return Status::Success;
}

const Allocation* GlobalMemory::findLocked(uint64_t address) const {
  auto it = live_.upper_bound(address);
  if (it == live_.begin()) return nullptr;
  --it;
  return address - it->second.base < it->second.size ? &it->second : nullptr;
}

bool GlobalMemory::find(uint64_t address, Allocation& out) const {
  std::shared_lock lock(mutex_);
  const Allocation* a = findLocked(address);
  if (a) out = *a;
  return a != nullptr;
}

bool GlobalMemory::contains(uint64_t address, size_t bytes) const {
  std::shared_lock lock(mutex_);
  const Allocation* a = findLocked(address);
  return a && bytes <= a->size - (address - a->base);
}

Status GlobalMemory::read(void* destination, uint64_t source, size_t bytes) const {
  if (!bytes) return Status::Success;
  std::shared_lock lock(mutex_);
  const Allocation* a = findLocked(source);
  if (!a || bytes > a->size - (source - a->base)) return Status::InvalidValue;
  std::memcpy(destination, a->host + (source - a->base), bytes);
  return Status::Success;
}

Status GlobalMemory::write(uint64_t destination, const void* source, size_t bytes) {
  if (!bytes) return Status::Success;
  std::shared_lock lock(mutex_);
  const Allocation* a = findLocked(destination);
  if (!a || bytes > a->size - (destination - a->base)) return Status::InvalidValue;
  std::memcpy(a->host + (destination - a->base), source, bytes);
  if (a->initBits) setBits(a->initBits, destination - a->base, bytes, true);
  return Status::Success;
}

Status GlobalMemory::copy(uint64_t destination, uint64_t source, size_t bytes) {
  if (!bytes) return Status::Success;
  std::shared_lock lock(mutex_);
  const Allocation* d = findLocked(destination);
  const Allocation* s = findLocked(source);
  if (!d || bytes > d->size - (destination - d->base)) return Status::InvalidValue;
  if (!s || bytes > s->size - (source - s->base)) return Status::InvalidValue;
  std::memmove(d->host + (destination - d->base), s->host + (source - s->base), bytes);
  if (d->initBits) {
    const uint64_t to = destination - d->base, from = source - s->base;
    if (!s->initBits || allBits(s->initBits, from, bytes)) {
      setBits(d->initBits, to, bytes, true);
    } else {
      for (uint64_t i = 0; i < bytes; ++i)
        setBits(d->initBits, to + i, 1, s->initBits[(from + i) >> 3] >> ((from + i) & 7) & 1);
    }
  }
  return Status::Success;
}

Status GlobalMemory::fill(uint64_t destination, uint32_t value, size_t elementSize, size_t count) {
  if (elementSize != 1 && elementSize != 2 && elementSize != 4) return Status::InvalidValue;
  if (destination % elementSize) return Status::InvalidValue;
  if (!count) return Status::Success;
  std::shared_lock lock(mutex_);
  const Allocation* a = findLocked(destination);
  const uint64_t bytes = uint64_t(count) * elementSize;
  if (!a || bytes > a->size - (destination - a->base)) return Status::InvalidValue;
  uint8_t* p = a->host + (destination - a->base);
  if (elementSize == 1) {
    std::memset(p, int(value & 0xFF), count);
  } else {
    for (size_t i = 0; i < count; ++i) std::memcpy(p + i * elementSize, &value, elementSize);
  }
  if (a->initBits) setBits(a->initBits, destination - a->base, bytes, true);
  return Status::Success;
}

size_t GlobalMemory::firstUninitialised(uint64_t address, size_t bytes) const {
  std::shared_lock lock(mutex_);
  const Allocation* a = findLocked(address);
  if (!a || !a->initBits) return bytes;
  uint64_t offset = address - a->base;
  bytes = std::min<uint64_t>(bytes, a->size - offset);
  for (size_t i = 0; i < bytes; ++i)
    if (!(a->initBits[(offset + i) >> 3] >> ((offset + i) & 7) & 1)) return i;
  return bytes;
}

std::string GlobalMemory::describe(uint64_t address) const {
  std::shared_lock lock(mutex_);
  auto name = [](const Allocation& a) {
    std::string s = "the " + std::to_string(a.size) + "-byte allocation #" + std::to_string(a.serial);
    return a.label.empty() ? s : s + " (" + a.label + ")";
  };
  if (const Allocation* a = findLocked(address))
    return "at byte " + std::to_string(address - a->base) + " of " + name(*a);
  if (!address) return "the null pointer";
  auto inside = freed_.upper_bound(address);
  if (inside != freed_.begin()) {
    const Allocation& a = std::prev(inside)->second;
    if (address - a.base < a.size)
      return "at byte " + std::to_string(address - a.base) + " of " + name(a) + ", which was freed";
  }
  auto next = live_.upper_bound(address);
  uint64_t after = UINT64_MAX, before = UINT64_MAX;
  if (next != live_.begin()) after = address - (std::prev(next)->second.base + std::prev(next)->second.size);
  if (next != live_.end()) before = next->first - address;
  constexpr uint64_t kNear = 1 << 20;
  if (after <= before && after < kNear)
    return std::to_string(after) + " bytes after the end of " + name(std::prev(next)->second);
  if (before < kNear) return std::to_string(before) + " bytes before the start of " + name(next->second);
  const uint64_t range = reinterpret_cast<uint64_t>(range_);
  return address - range < reserved_ ? "not allocated" : "not a device address";
}

uint64_t GlobalMemory::bytesInUse() const {
  std::shared_lock lock(mutex_);
  return inUse_;
}

std::vector<Allocation> GlobalMemory::live(bool userOnly) const {
  std::shared_lock lock(mutex_);
  std::vector<Allocation> out;
  for (auto& [base, a] : live_) {
    const bool internal = a.kind == MemoryKind::ModuleVariable || a.kind == MemoryKind::ModuleManaged ||
                          a.kind == MemoryKind::ModuleConstant || a.kind == MemoryKind::Workspace;
    if (!userOnly || !internal) out.push_back(a);
  }
  std::sort(out.begin(), out.end(), [](auto& x, auto& y) { return x.serial < y.serial; });
  return out;
}

}  // namespace gpusim
