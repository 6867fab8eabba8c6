// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/tensor.h"

typedef enum pw_activation {
  PW_SILU = 0,       ///< x / (1 + e^-x)
  PW_GELU_TANH = 1,  ///< x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3): the tanh form of GELU
} pw_activation;

/// Gated linear unit (Shazeer, "GLU variants improve transformer", 2020): out = activation(gate) * up, element by
/// element.
typedef struct pw_gated_args {
  pw_tensor gate;  ///< [..., n], f32 | f16 | bf16, rank 1 to 4, last dimension contiguous
  pw_tensor up;    ///< [..., n]
  pw_tensor out;   ///< [..., n]; may be gate or up
  pw_activation activation;
} pw_gated_args;
