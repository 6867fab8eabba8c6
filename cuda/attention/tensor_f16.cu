// SPDX-License-Identifier: Apache-2.0
#include "attention/tensor/kernel.cuh"

PW_TENSOR_ATTENTION(f16_64, PW_F16, PW_KV_F16, 64)
PW_TENSOR_ATTENTION(f16_128, PW_F16, PW_KV_F16, 128)
PW_TENSOR_ATTENTION(f16_256, PW_F16, PW_KV_F16, 256)
