// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#include "common/async_copy.cuh"

namespace pw {

/// Four 8 x 8 matrices of 16-bit elements from shared memory: lane l gives the address of row l % 8 of matrix l / 8, 16
/// bytes on a boundary of 16. Lane 4 g + t gets elements 2t, 2t + 1 of row g of each.
__device__ inline void loadMatrices(uint32_t (&m)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(address)
               : "memory");
}

/// The same, transposed: lane 4 g + t gets rows 2t, 2t + 1 of column g.
__device__ inline void loadMatricesTransposed(uint32_t (&m)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(address)
               : "memory");
}

}  // namespace pw
