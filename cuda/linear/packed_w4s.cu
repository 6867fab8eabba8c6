// SPDX-License-Identifier: Apache-2.0
#include "linear/packed_kernel.cuh"

PW_LINEAR_PACKED(w4s_f16, PW_MATRIX_W4S, PW_F16, 8, 2)
PW_LINEAR_PACKED(w4s_f16, PW_MATRIX_W4S, PW_F16, 32, 2)
PW_LINEAR_PACKED(w4s_f32, PW_MATRIX_W4S, PW_F32, 8, 2)
