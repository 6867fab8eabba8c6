// SPDX-License-Identifier: Apache-2.0
#include "linear/packed_kernel.cuh"

PW_LINEAR_PACKED(w5m_f16, PW_MATRIX_W5M, PW_F16, 8, 2)
PW_LINEAR_PACKED(w5m_f16, PW_MATRIX_W5M, PW_F16, 32, 2)
PW_LINEAR_PACKED(w5m_f32, PW_MATRIX_W5M, PW_F32, 8, 2)
