// SPDX-License-Identifier: Apache-2.0
#include "core/aligned.h"

#include <cstdlib>
#include <new>
#include <string>

#include "core/error.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pw {
namespace {
constexpr size_t kCacheLine = 64, kHugePage = size_t{2} << 20, kHugeThreshold = size_t{4} << 20;
}

void* alignedAllocate(size_t bytes) {
  const size_t alignment = bytes >= kHugeThreshold ? kHugePage : kCacheLine;
  void* p = nullptr;
#if defined(_WIN32)
  p = _aligned_malloc(bytes ? bytes : 1, alignment);
#else
  if (posix_memalign(&p, alignment, bytes ? bytes : 1) != 0) p = nullptr;
#endif
  if (!p) throw Error(PW_OUT_OF_MEMORY, "could not allocate " + std::to_string(bytes) + " bytes of host memory");
#if defined(__linux__)
  // Weights are streamed once per token: fewer TLB misses are worth about 10 % of the read bandwidth.
  if (bytes >= kHugeThreshold) madvise(p, bytes, MADV_HUGEPAGE);
#endif
  return p;
}

void alignedFree(void* p) noexcept {
#if defined(_WIN32)
  _aligned_free(p);
#else
  std::free(p);
#endif
}

}  // namespace pw
