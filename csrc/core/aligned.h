// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>

namespace pw {

/// At least `bytes` bytes on a cache-line boundary (a huge-page boundary from 4 MiB on, advised to be backed by huge
/// pages).
/// @throws Error(PW_OUT_OF_MEMORY)
void* alignedAllocate(size_t bytes);
void alignedFree(void* p) noexcept;

}  // namespace pw
