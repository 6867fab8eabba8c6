// SPDX-License-Identifier: Apache-2.0
#pragma once

/// In front of a loop with constant bounds over an array that must stay in registers.
#if defined(__clang__)
#define PW_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define PW_UNROLL _Pragma("GCC unroll 16")
#else
#define PW_UNROLL
#endif

/// For functions whose arrays must stay in the caller's registers: compilers stop inlining where callers grow long.
#if defined(_MSC_VER)
#define PW_INLINE __forceinline
#else
#define PW_INLINE inline __attribute__((always_inline))
#endif
