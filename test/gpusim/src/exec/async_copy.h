// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace gpusim {

/// cp.async of one warp that have not landed: their bytes reach shared memory only at the wait that covers them.
struct AsyncCopies {
  struct Entry {
    uint32_t lanes = 0;  ///< still in flight
    uint32_t bytes = 0;  ///< 4, 8 or 16 a lane
    uint32_t origin = 0;
    uint32_t pc = 0;
    std::array<uint32_t, 32> destination;  ///< shared offset
    std::array<uint32_t, 32> group;        ///< of each lane
    std::array<std::array<uint8_t, 16>, 32> data;
  };
  std::vector<Entry> entries;
  std::array<uint32_t, 32> open = {};  ///< number of the group that each lane is filling

  void clear() {
    entries.clear();
    open.fill(0);
  }
};

struct Context;
struct Instruction;

/// Lands everything that the active lanes have issued.
void landCopies(Context& c, const Instruction& in);

}  // namespace gpusim
