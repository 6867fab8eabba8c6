// SPDX-License-Identifier: Apache-2.0
/// @file Copies from global to shared memory that run while the thread goes on (cp.async).
#pragma once
#include <stdint.h>

namespace pw {

__device__ inline uint32_t sharedAddress(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

/// 16 bytes past the first-level cache, to a shared address; both are multiples of 16. Without `wanted` nothing is read
/// and zeros are written; `from` must be a valid pointer all the same.
__device__ inline void copyAsync16(uint32_t to, const void* from, bool wanted = true) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(wanted ? 16 : 0) : "memory");
}
__device__ inline void copyAsync16(void* to, const void* from, bool wanted = true) {
  copyAsync16(sharedAddress(to), from, wanted);
}

/// The same for 4 bytes, through the first-level cache.
__device__ inline void copyAsync4(uint32_t to, const void* from, bool wanted = true) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(wanted ? 4 : 0) : "memory");
}
__device__ inline void copyAsync4(void* to, const void* from, bool wanted = true) {
  copyAsync4(sharedAddress(to), from, wanted);
}

/// What the second-level cache is to do with lines: give them up first (data that is read once), or treat them as
/// usual.
__device__ inline uint64_t evictFirst() {
  uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0;" : "=l"(policy));
  return policy;
}
__device__ inline uint64_t evictNormal() {
  uint64_t policy;
  asm("createpolicy.fractional.L2::evict_normal.b64 %0;" : "=l"(policy));
  return policy;
}

/// copyAsync16 with such a policy, kOffset bytes from both addresses on.
template <int kOffset>
__device__ inline void copyAsync16Hinted(uint32_t to, const void* from, uint64_t policy) {
  asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0+%3], [%1+%3], 16, %2;" ::"r"(to), "l"(from), "l"(policy),
               "n"(kOffset)
               : "memory");
}

/// Ends a group: this thread's copies since the last one.
__device__ inline void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most kPending of this thread's newest groups are under way; a barrier makes the others' visible.
template <int kPending>
__device__ inline void waitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace pw
