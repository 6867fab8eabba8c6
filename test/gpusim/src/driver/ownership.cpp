// SPDX-License-Identifier: Apache-2.0
#include "ownership.h"

#include <map>
#include <mutex>

namespace gpusim {
namespace {

struct Ownership {
  std::mutex mutex;
  std::map<uint64_t, uint64_t> contextOf;  // by address
};

Ownership& ownership() {
  static auto* instance = new Ownership;
  return *instance;
}

}  // namespace

void noteAllocation(uint64_t address, uint64_t contextId) {
  std::lock_guard lock(ownership().mutex);
  ownership().contextOf[address] = contextId;
}

bool forgetAllocation(uint64_t address) {
  std::lock_guard lock(ownership().mutex);
  return ownership().contextOf.erase(address) != 0;
}

std::vector<uint64_t> takeAllocationsOf(uint64_t contextId) {
  std::vector<uint64_t> taken;
  std::lock_guard lock(ownership().mutex);
  auto& owners = ownership().contextOf;
  for (auto it = owners.begin(); it != owners.end();) {
    if (it->second == contextId) {
      taken.push_back(it->first);
      it = owners.erase(it);
    } else {
      ++it;
    }
  }
  return taken;
}

}  // namespace gpusim
