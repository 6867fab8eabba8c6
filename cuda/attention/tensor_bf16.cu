// SPDX-License-Identifier: Apache-2.0
#include "attention/tensor/kernel.cuh"

PW_TENSOR_ATTENTION(bf16_64, PW_BF16, false, 64)
PW_TENSOR_ATTENTION(bf16_128, PW_BF16, false, 128)
PW_TENSOR_ATTENTION(bf16_256, PW_BF16, false, 256)
