// SPDX-License-Identifier: Apache-2.0
/// @file Parameters of the kernels in gpu_kernels.cpp.
#pragma once
#include <cstdint>

#include "pagewarp/gpu/error.h"

/// pw_test_store: out[i] = value for i < count, one block per 32 elements.
struct StoreParams {
  uint32_t* out;
  uint32_t value, count;
};

/// pw_test_double: out[b] = 2 * items[b] for block b < *count.
struct DoubleParams {
  const uint32_t* count;
  const uint32_t* items;
  uint32_t* out;
};

/// pw_test_wait, by one thread: returns when the word at its parameter, an address, is not 0.

/// pw_test_report: reports as a kernel would with pw_gpu_report, by one thread.
struct ReportParams {
  pw_gpu_error* error;
  uint32_t status;
  int32_t row;
  int64_t value;
};
