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
