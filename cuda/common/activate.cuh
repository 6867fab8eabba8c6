// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/activation.h"

namespace pw {

/// Both activations are x times a logistic function of some e(x). Where e^-e overflows the quotient is a signed zero,
/// which is the limit; nothing cancels.
__device__ inline float activate(int activation, float x) {
  float exponent = -x;
  // -2 sqrt(2 / pi) (x + 0.044715 x^3)
  if (activation == PW_GELU_TANH) exponent *= fmaf(x * x, 2.0f * 0.797884561f * 0.044715f, 2.0f * 0.797884561f);
  return x / (1.0f + expf(exponent));
}

}  // namespace pw
