// SPDX-License-Identifier: Apache-2.0
/// @file What a page's keys lie between: for choosing the pages that a query attends to (Quest; Tang et al., 2024).
#pragma once
#include "pagewarp/kvcache.h"

/// For page p = pages[i], every kv head h and column d: low[p, h, d] and high[p, h, d] are the least and the greatest
/// of the page's first counts[i] keys, as attention reads them; NaN if one of them is, and +inf and -inf where there
/// are none.
typedef struct pw_key_bounds_args {
  pw_kv_layer cache;
  pw_tensor pages;   ///< [count] i32, distinct; -1 is skipped, a page outside the pool is a data error and is skipped
  pw_tensor counts;  ///< [count] i32, 0 to pageSize; another number is a data error, and its page is skipped
  pw_tensor low;     ///< f32 [pages, kvHeads, headDim], last dimension contiguous
  pw_tensor high;    ///< same shape
} pw_key_bounds_args;
