// SPDX-License-Identifier: Apache-2.0
#include "attention/tensor/kernel.cuh"

PW_TENSOR_ATTENTION(f16_i8_64, PW_F16, PW_KV_I8, 64)
PW_TENSOR_ATTENTION(f16_i8_128, PW_F16, PW_KV_I8, 128)
PW_TENSOR_ATTENTION(f16_i8_256, PW_F16, PW_KV_I8, 256)
