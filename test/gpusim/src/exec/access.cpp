// SPDX-License-Identifier: Apache-2.0
#include "exec/access.h"

#include <algorithm>
#include <cstring>

#include "check/reporter.h"
#include "exec/access_counters.h"

namespace gpusim {

using ptx::Space;

namespace {

Space windowOf(uint64_t address) {
  if (address - kSharedWindow < kWindowBytes) return Space::Shared;
  if (address - kLocalWindow < kWindowBytes) return Space::Local;
  if (address - kParamWindow < kWindowBytes) return Space::Param;
  return Space::Global;
}

const char* spaceName(Space s) {
  switch (s) {
    case Space::Shared:
      return "shared";
    case Space::Local:
      return "local";
    case Space::Const:
      return "constant";
    case Space::Param:
      return "parameter";
    default:
      return "global";
  }
}

std::string accessWords(const Access& a) {
  const char* verb = a.write && a.read ? "atomic operation on" : a.write ? "write of" : "read of";
  return std::string(verb) + " " + std::to_string(a.bytes) + " bytes";
}

bool outOfBounds(Context& c, const Instruction& in, const Access& a, uint32_t lane, Space space, uint64_t address,
                 const std::string& where) {
  raise(c, in, ReportKind::OutOfBounds, lane,
        std::string("invalid ") + spaceName(space) + " " + accessWords(a) + ": " + where, address);
  return false;
}

void noteUninitialised(Context& c, const Instruction& in, const Access& a, uint32_t lane, Space space, uint64_t address,
                       const char* why) {
  if (c.launch->reporter->counted(ReportKind::Uninitialised, in, *c.block)) return;
  const std::string where = space == Space::Global || space == Space::Const
                                ? ", " + c.launch->device->memory.describe(address)
                                : std::string(why);
  note(c, in, ReportKind::Uninitialised, lane,
       std::string("uninitialised ") + spaceName(space) + " " + accessWords(a) + where, address);
}

uint32_t threadOf(const Context& c, uint32_t lane) { return c.warp->index * kLanes + lane; }

void noteGlobalRace(Context& c, const Instruction& in, uint32_t lane, const GlobalRace& r) {
  c.launch->reporter->globalRace(c, in, lane, r);
}

bool bitsSet(const uint8_t* bits, uint64_t offset, uint32_t bytes) {
  if (bytes <= 8 && (offset & 7) + bytes <= 8) {
    const unsigned want = ((1u << bytes) - 1) << (offset & 7);
    return (bits[offset >> 3] & want) == want;
  }
  return allBits(bits, offset, bytes);
}

/// Other host threads may own neighbouring bits of the same byte.
void markBits(uint8_t* bits, uint64_t offset, uint32_t bytes) {
  while (bytes) {
    const uint32_t n = std::min(bytes, uint32_t(8 - (offset & 7)));
    const uint8_t mask = uint8_t(((1u << n) - 1) << (offset & 7));
    uint8_t& byte = bits[offset >> 3];
    if ((__atomic_load_n(&byte, __ATOMIC_RELAXED) & mask) != mask) __atomic_fetch_or(&byte, mask, __ATOMIC_RELAXED);
    offset += n, bytes -= n;
  }
}

void checkGlobalRace(Context& c, const Instruction& in, const Access& a, uint32_t lane, uint64_t address,
                     const uint8_t* p) {
  GlobalRaceShadow& shadow = c.worker->race;
  const AccessKey key = accessKey(c.block->index, c.pc - 1, threadOf(c, lane));
  const uint8_t* value = a.stored ? a.stored + size_t(lane) * a.bytes : nullptr;
  if (!c.launch->interleaved) {
    if (a.write)
      shadow.write(address, a.bytes, key, value ? value : p, a.bytes);
    else
      shadow.read(address, a.bytes, key, a.bytes);
    return;
  }
  GlobalRace r;
  const uint64_t now = c.launch->time, acquired = c.block->acquired;
  const bool same = value && std::memcmp(value, p, a.bytes) == 0;
  const bool found = a.write ? shadow.writeAt(address, a.bytes, key, now, acquired, same, r)
                             : shadow.readAt(address, a.bytes, key, now, acquired, r);
  if (found) noteGlobalRace(c, in, lane, r);
}

/// The cached allocation that holds all bytes of an access, from the cache or the memory's map; null when none does.
const AllocationView* findView(Worker& w, const GlobalMemory& memory, uint64_t address, uint32_t bytes) {
  AllocationCache& cache = w.allocations;
  auto holds = [&](const AllocationView& v) {
    return address - v.base < v.size && v.size - (address - v.base) >= bytes;
  };
  if (holds(cache.views[cache.last])) return &cache.views[cache.last];
  for (size_t i = 0; i < cache.views.size(); ++i) {
    if (!holds(cache.views[i])) continue;
    cache.last = i;
    return &cache.views[i];
  }
  Allocation found;
  if (!memory.find(address, found)) return nullptr;
  const AllocationView view{found.base, found.size, found.host, found.initBits, found.kind};
  if (!holds(view)) return nullptr;
  cache.last = cache.next;
  cache.next = (cache.next + 1) % cache.views.size();
  cache.views[cache.last] = view;
  return &cache.views[cache.last];
}

/// All lanes access one block of memory, lane after lane: by far the commonest case, checked as one range.
bool contiguous(const Lanes& lanes, uint32_t bytes) {
  uint64_t different = 0;
  for (uint64_t i = 0; i < kLanes; ++i) different |= lanes.address[i] ^ (lanes.address[0] + i * bytes);
  return !different;
}

/// Race checks of 32 lanes side by side; false when they have to be checked one by one.
bool checkRangeRace(Context& c, const Instruction& in, const Access& a, uint64_t first) {
  GlobalRaceShadow& shadow = c.worker->race;
  const AccessKey key = accessKey(c.block->index, c.pc - 1, c.warp->index * kLanes);
  const uint32_t bytes = a.bytes * kLanes;
  if (a.write && !a.stored) return false;
  if (!c.launch->interleaved) {
    if (a.write)
      shadow.write(first, bytes, key, a.stored, a.bytes);
    else
      shadow.read(first, bytes, key, a.bytes);
    return true;
  }
  if (a.write) return false;
  GlobalRace r;
  if (shadow.readAt(first, bytes, key, c.launch->time, c.block->acquired, r))
    noteGlobalRace(c, in, uint32_t((r.address - first) / a.bytes), r);
  return true;
}

/// As resolveGlobal, for a full warp on one range within an allocation; false when it is something else.
bool resolveRange(Context& c, const Instruction& in, const Access& a, Lanes& lanes, bool race) {
  if (!contiguous(lanes, a.bytes)) return false;
  const uint64_t first = lanes.address[0], bytes = uint64_t(a.bytes) * kLanes;
  const AllocationView* view = findView(*c.worker, c.launch->device->memory, first, uint32_t(bytes));
  if (!view || (a.write && view->kind == MemoryKind::ModuleConstant)) return false;
  const uint64_t offset = first - view->base;
  uint8_t* bits = view->initBits;
  if (bits && a.read && a.checkInit && c.launch->checks.init && !allBits(bits, offset, bytes)) return false;
  if (race && !checkRangeRace(c, in, a, first)) return false;
  if (bits && a.write && !allBits(bits, offset, bytes)) markBits(bits, offset, uint32_t(bytes));
  uint8_t* p = view->host + offset;
  for (uint32_t i = 0; i < kLanes; ++i) lanes.pointer[i] = p + i * a.bytes;
  return true;
}

bool resolveGlobal(Context& c, const Instruction& in, const Access& a, Lanes& lanes, uint32_t mask, Space space) {
  Worker& w = *c.worker;
  const GlobalMemory& memory = c.launch->device->memory;
  const CheckOptions& checks = c.launch->checks;
  const uint64_t generation = memory.generation();
  if (w.allocations.generation != generation) {
    w.allocations = {};
    w.allocations.generation = generation;
  }
  const bool race = checks.race && !(a.write && a.synchronises) && space != Space::Const;
  if (mask == kAllLanes && resolveRange(c, in, a, lanes, race)) return true;
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const uint64_t address = lanes.address[lane];
    const AllocationView* view = findView(w, memory, address, a.bytes);
    if (!view) {
      Allocation at;
      const bool starts = memory.find(address, at);
      return outOfBounds(c, in, a, lane, space, address, memory.describe(address) + (starts ? ", beyond its end" : ""));
    }
    const uint64_t offset = address - view->base;
    if (a.write && view->kind == MemoryKind::ModuleConstant)
      return outOfBounds(c, in, a, lane, space, address, "constant memory is read-only");
    uint8_t* p = view->host + offset;
    lanes.pointer[lane] = p;
    if (race) checkGlobalRace(c, in, a, lane, address, p);
    if (view->initBits) {
      if (a.read && a.checkInit && checks.init && !bitsSet(view->initBits, offset, a.bytes))
        noteUninitialised(c, in, a, lane, space, address, "");
      if (a.write) markBits(view->initBits, offset, a.bytes);
    }
  }
  return true;
}

/// Whether the earlier write of a hazard was made by this very instruction, in a lower lane, with the same value: one
/// of the writes lands, and all are alike.
bool agrees(const Context& c, const Access& a, const Lanes& lanes, uint32_t mask, uint32_t lane, const RaceHit& hit) {
  if (!a.write || !a.stored || !hit.earlierWrite || hit.pc != c.pc - 1 || hit.thread / kLanes != c.warp->index)
    return false;
  const uint32_t other = hit.thread % kLanes;
  if (other >= lane || !(mask >> other & 1) || lanes.pointer[other] != lanes.pointer[lane]) return false;
  return std::memcmp(a.stored + size_t(other) * a.bytes, a.stored + size_t(lane) * a.bytes, a.bytes) == 0;
}

bool resolveShared(Context& c, const Instruction& in, const Access& a, Lanes& lanes, uint32_t mask, bool generic) {
  Block& b = *c.block;
  const CheckOptions& checks = c.launch->checks;
  const uint64_t size = c.launch->sharedBytes;
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const uint64_t offset = generic ? lanes.address[lane] - kSharedWindow : lanes.address[lane];
    if (offset >= size || size - offset < a.bytes)
      return outOfBounds(
          c, in, a, lane, Space::Shared, offset,
          "offset " + std::to_string(offset) + " of " + std::to_string(size) + " bytes of shared memory");
    uint8_t* p = b.shared.data() + offset;
    lanes.pointer[lane] = p;
    if (checks.race && (!a.synchronises || a.isVolatile)) {
      const bool same = a.stored && std::memcmp(p, a.stored + size_t(lane) * a.bytes, a.bytes) == 0;
      // volatile accesses are relaxed ones in PTX's memory model: they do not race with each other
      const RaceHit hit =
          a.write ? b.race.write(c.warp->index, lane, uint32_t(offset), a.bytes, c.pc - 1, same, a.isVolatile)
                  : b.race.read(c.warp->index, lane, uint32_t(offset), a.bytes);
      // old warp-synchronous code relies on volatile between the lanes of a warp
      const bool tolerated = a.isVolatile && hit.thread / kLanes == c.warp->index;
      if (hit.found && !tolerated && !agrees(c, a, lanes, mask, lane, hit))
        c.launch->reporter->sharedRace(c, in, lane, hit, a.write, offset);
    }
    if (a.read && a.checkInit && checks.init && !bitsSet(b.sharedInit.data(), offset, a.bytes))
      noteUninitialised(c, in, a, lane, Space::Shared, offset,
                        " (never written, or the cp.async that writes it has not been waited for)");
    if (a.write) setBits(b.sharedInit.data(), offset, a.bytes, true);
  }
  return true;
}

/// Compilers copy structs on the stack word by word, padding and all: only elements no byte of which was ever written
/// count as uninitialised.
bool hasUnwrittenElement(const uint8_t* bits, uint64_t offset, const Access& a) {
  const uint32_t element = a.element ? a.element : a.bytes;
  for (uint32_t k = 0; k < a.bytes; k += element) {
    bool written = false;
    for (uint32_t i = 0; i < element && !written; ++i) written = bitsSet(bits, offset + k + i, 1);
    if (!written) return true;
  }
  return false;
}

bool resolveLocal(Context& c, const Instruction& in, const Access& a, Lanes& lanes, uint32_t mask, bool generic) {
  const uint64_t size = c.launch->stackBytes;
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const uint64_t offset = generic ? lanes.address[lane] - kLocalWindow : lanes.address[lane];
    if (offset >= size || size - offset < a.bytes)
      return outOfBounds(c, in, a, lane, Space::Local, offset,
                         "offset " + std::to_string(offset) + " of " + std::to_string(size) + " bytes of local memory");
    const uint64_t at = lane * size + offset;
    lanes.pointer[lane] = c.warp->localMemory.data() + at;
    const uint8_t* bits = c.warp->localInit.data();
    if (a.read && a.checkInit && c.launch->checks.init && !bitsSet(bits, at, a.bytes) &&
        hasUnwrittenElement(bits, at, a))
      noteUninitialised(c, in, a, lane, Space::Local, offset, "");
    if (a.write) setBits(c.warp->localInit.data(), at, a.bytes, true);
  }
  return true;
}

bool resolveParam(Context& c, const Instruction& in, const Access& a, Lanes& lanes, uint32_t mask, bool generic) {
  const auto& parameters = c.launch->config->parameters;
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint32_t lane = lowestLane(m);
    const uint64_t offset = generic ? lanes.address[lane] - kParamWindow : lanes.address[lane];
    if (offset >= parameters.size() || parameters.size() - offset < a.bytes || a.write)
      return outOfBounds(c, in, a, lane, Space::Param, offset,
                         "kernel parameters are " + std::to_string(parameters.size()) + " bytes, read-only");
    lanes.pointer[lane] = const_cast<uint8_t*>(parameters.data()) + offset;
  }
  return true;
}

bool resolveSpace(Context& c, const Instruction& in, const Access& a, Lanes& lanes, uint32_t mask, Space space,
                  bool generic) {
  bool ok;
  switch (space) {
    case Space::Shared:
      ok = resolveShared(c, in, a, lanes, mask, generic);
      break;
    case Space::Local:
      ok = resolveLocal(c, in, a, lanes, mask, generic);
      break;
    case Space::Param:
      ok = resolveParam(c, in, a, lanes, mask, generic);
      break;
    default:
      ok = resolveGlobal(c, in, a, lanes, mask, space);
      break;
  }
  if (ok && c.launch->profile && a.profiled) {
    if (space == Space::Global)
      countGlobal(c, a, lanes, mask);
    else if (space == Space::Shared)
      countShared(c, a, lanes, mask);
  }
  return ok;
}

}  // namespace

bool isShared(uint64_t generic) { return windowOf(generic) == Space::Shared; }
bool isLocal(uint64_t generic) { return windowOf(generic) == Space::Local; }

void laneAddresses(const Context& c, Ref base, bool wide, uint64_t offset, Lanes& lanes) {
  if (wide) {
    const uint64_t* b = c.at<uint64_t>(base);
    for (int i = 0; i < kLanes; ++i) lanes.address[size_t(i)] = b[i] + offset;
  } else {
    const uint32_t* b = c.at<uint32_t>(base);
    for (int i = 0; i < kLanes; ++i) lanes.address[size_t(i)] = uint32_t(b[i] + uint32_t(offset));
  }
}

bool resolve(Context& c, const Instruction& in, const Access& a, Lanes& lanes) {
  const uint32_t unit = a.checkAlignment ? a.checkAlignment : a.bytes;
  const uint64_t low = unit - 1;
  uint64_t misaligned = 0;
  for (uint32_t i = 0; i < kLanes; ++i) misaligned |= (c.mask >> i & 1) ? lanes.address[i] & low : 0;
  if (misaligned) {
    uint32_t lane = 0;
    while (!(c.mask >> lane & 1) || !(lanes.address[lane] & low)) ++lane;
    raise(c, in, ReportKind::Misaligned, lane,
          "misaligned " + accessWords(a) + " at an address that is no multiple of " + std::to_string(unit),
          lanes.address[lane]);
    return false;
  }
  if (a.space != Space::Generic) {
    lanes.space.fill(a.space);
    return resolveSpace(c, in, a, lanes, c.mask, a.space, false);
  }
  uint64_t windowed = 0;  // the windows of shared, local and parameter space follow each other
  for (uint32_t i = 0; i < kLanes; ++i)
    windowed |= (c.mask >> i & 1) && lanes.address[i] - kSharedWindow < 3 * kWindowBytes;
  if (!windowed) {
    lanes.space.fill(Space::Global);
    return resolveSpace(c, in, a, lanes, c.mask, Space::Global, true);
  }
  uint32_t rest = c.mask;
  while (rest) {
    const Space space = windowOf(lanes.address[lowestLane(rest)]);
    uint32_t same = 0;
    for (uint32_t m = rest; m; m &= m - 1) {
      const uint32_t lane = lowestLane(m);
      if (windowOf(lanes.address[lane]) != space) continue;
      same |= 1u << lane;
      lanes.space[lane] = space;
    }
    if (!resolveSpace(c, in, a, lanes, same, space, true)) return false;
    rest &= ~same;
  }
  return true;
}

}  // namespace gpusim
