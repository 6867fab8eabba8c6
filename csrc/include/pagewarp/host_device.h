// SPDX-License-Identifier: Apache-2.0
/// @file For functions that both host and device code call.
#pragma once

#if defined(__CUDACC__)
#define PW_HOST_DEVICE __host__ __device__
#else
#define PW_HOST_DEVICE
#endif

#if defined(__cplusplus)
#define PW_CONSTEXPR constexpr
#else
#define PW_CONSTEXPR
#endif
