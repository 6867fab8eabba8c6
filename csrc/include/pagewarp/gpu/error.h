// SPDX-License-Identifier: Apache-2.0
/// @file How a kernel reports a data error (a bad token id, NaN logits): one word per command, written by whichever
/// thread is first, read by the host when the stream has got there.
#pragma once
#include <stdint.h>

typedef struct pw_gpu_error {
  uint32_t status;  ///< a pw_status, 0: none. Claimed with atomicCAS; only the winner writes the rest.
  int32_t row;      ///< where: the row of the batch
  int64_t value;    ///< what was found there: the token id, the slot...
} pw_gpu_error;

#if defined(__CUDACC__)
/// Reports once per command. `error` may be NULL.
__device__ __forceinline__ void pw_gpu_report(pw_gpu_error* error, uint32_t status, int32_t row, int64_t value) {
  if (error && atomicCAS(&error->status, 0u, status) == 0u) {
    error->row = row;
    error->value = value;
  }
}
#endif
