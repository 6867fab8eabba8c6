// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "pagewarp/tensor.h"

namespace pw::cpu {

/// Element-wise copy between tensors of one shape; converts when the dtypes differ.
void copy(const pw_tensor& from, const pw_tensor& to);
void fill(const pw_tensor& to, double value);

/// A contiguous tensor over `data` with the shape and dtype of `like`.
pw_tensor contiguousView(const void* data, const pw_tensor& like);

}  // namespace pw::cpu
