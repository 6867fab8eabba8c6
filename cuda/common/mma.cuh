// SPDX-License-Identifier: Apache-2.0
/// @file Tensor-core instructions of sm_80 and later.
#pragma once
#include <stdint.h>

#include "pagewarp/dtype.h"

namespace pw {

/// sum += a . b over 16 columns: a is 16 x 16, b is 16 x 8, both f16 (kDtype PW_F16) or bf16, sum is f32.
///
/// Lane l = 4 g + t holds, of a, columns 2t, 2t + 1 of rows g and g + 8, then columns 2t + 8, 2t + 9 of these rows; of
/// b, rows 2t, 2t + 1, then 2t + 8, 2t + 9, of column g; of the sum, columns 2t, 2t + 1 of row g, then of row g + 8.
template <int kDtype>
__device__ inline void mma16x8x16(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if (kDtype == PW_F16)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace pw
