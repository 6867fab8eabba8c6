// SPDX-License-Identifier: Apache-2.0
/// @file access.h
/// From lane addresses to host pointers, with every check on the way.
#pragma once

#include <array>
#include <cstdint>

#include "exec/context.h"

namespace gpusim {

struct Access {
  ptx::Space space = ptx::Space::Generic;
  uint32_t bytes = 4;    ///< of one lane
  uint32_t element = 0;  ///< of a vector, in bytes; 0: `bytes`
  bool write = false;
  bool read = true;  ///< false for plain stores
  /// Ordered access: no race in global memory when it writes (a read still races with plain writes), nor in shared
  /// memory; except that volatile alone orders nothing between the warps of a block.
  bool synchronises = false;
  bool isVolatile = false;
  bool checkInit = true;
  uint32_t checkAlignment = 0;  ///< 0: `bytes`
  const uint8_t* stored =
      nullptr;  ///< bytes about to be written, `bytes` a lane, for telling writes that change nothing
  bool profiled = true;
};

struct Lanes {
  alignas(64) std::array<uint64_t, kLanes> address;
  alignas(64) std::array<uint8_t*, kLanes> pointer;
  std::array<ptx::Space, kLanes> space;
};

/// Fills pointer (and space, resolved from generic) for the lanes of c.mask. False when the launch was stopped.
bool resolve(Context& c, const Instruction& in, const Access& a, Lanes& lanes);

/// Addresses `base + offset` of all lanes; base is 32 or 64 bits wide.
void laneAddresses(const Context& c, Ref base, bool wide, uint64_t offset, Lanes& lanes);

bool isShared(uint64_t generic);
bool isLocal(uint64_t generic);

}  // namespace gpusim
