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

/// The same where vectors are registers. Portable ones are arrays themselves, too long for that.
#if defined(__AVX2__)
#define PW_IN_REGISTERS PW_UNROLL
#else
#define PW_IN_REGISTERS
#endif

/// For functions whose arrays must stay in the caller's registers: compilers stop inlining where callers grow long. And
/// for those that would only make callers long.
#if defined(_MSC_VER)
#define PW_INLINE __forceinline
#define PW_NO_INLINE __declspec(noinline)
#else
#define PW_INLINE inline __attribute__((always_inline))
#define PW_NO_INLINE __attribute__((noinline))
#endif
