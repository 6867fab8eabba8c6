// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

namespace pw {

/// sum += a . b over 32 columns: a is 16 x 32 of unsigned, b is 32 x 8 of signed bytes, sum is exact.
///
/// Lane l = 4 g + t holds, of a, columns 4t to 4t + 3 of rows g and g + 8, then columns 4t + 16 to 4t + 19 of these
/// rows; of b, rows 4t to 4t + 3, then 4t + 16 to 4t + 19, of column g; of the sum what mma16x8x16 has.
__device__ inline void mma16x8x32(int32_t (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// The same over 16 columns, the first half of these operands.
__device__ inline void mma16x8x16(int32_t (&sum)[4], const uint32_t (&a)[2], uint32_t b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
               : "r"(a[0]), "r"(a[1]), "r"(b));
}

}  // namespace pw
