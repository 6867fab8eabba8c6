// SPDX-License-Identifier: Apache-2.0
#include "linear/packed_kernel.cuh"

PW_LINEAR_PACKED_LEVELS(w4r_f16, PW_MATRIX_W4T, PW_F16, 8, 2, true)
PW_LINEAR_PACKED_LEVELS(w4r_f16, PW_MATRIX_W4T, PW_F16, 32, 2, true)
PW_LINEAR_PACKED_LEVELS(w4r_f16, PW_MATRIX_W4T, PW_F16, 64, 4, true)
PW_LINEAR_PACKED_LEVELS(w4r_f32, PW_MATRIX_W4T, PW_F32, 8, 2, true)
