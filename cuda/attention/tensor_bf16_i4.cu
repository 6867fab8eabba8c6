// SPDX-License-Identifier: Apache-2.0
#include "attention/tensor/kernel.cuh"

PW_TENSOR_ATTENTION(bf16_i4_64, PW_BF16, PW_KV_I4, 64)
PW_TENSOR_ATTENTION(bf16_i4_128, PW_BF16, PW_KV_I4, 128)
PW_TENSOR_ATTENTION(bf16_i4_256, PW_BF16, PW_KV_I4, 256)
