// SPDX-License-Identifier: Apache-2.0
#include "attention/tensor/kernel.cuh"

PW_TENSOR_ATTENTION(f16_i4_64, PW_F16, PW_KV_I4, 64)
PW_TENSOR_ATTENTION(f16_i4_128, PW_F16, PW_KV_I4, 128)
PW_TENSOR_ATTENTION(f16_i4_256, PW_F16, PW_KV_I4, 256)
