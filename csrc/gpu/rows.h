// SPDX-License-Identifier: Apache-2.0
/// @file Tensors as launchers look at them, and as the row-wise kernels take them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "pagewarp/gpu/rows.h"
#include "pagewarp/matrix.h"

namespace pw::gpu {

/// Number of rows: the product of all dimensions but the last.
int64_t rowCount(const pw_tensor& t);
int64_t rowLength(const pw_tensor& t);

bool isContiguous(const pw_tensor& t);
size_t byteCount(const pw_tensor& t);
/// The strides of `t`, as if it were contiguous.
pw_tensor contiguousLike(const pw_tensor& t);

/// A matrix of f32, f16 or bf16 as a tensor. @throws Error(PW_UNSUPPORTED) for the packed formats
pw_tensor denseView(const pw_matrix& matrix);

/// The rows of a tensor whose last dimension is contiguous; of an absent one, null.
pw_gpu_rows rowsOf(const pw_tensor& t);

/// Whether every row begins at a multiple of `bytes`.
bool rowsAligned(const pw_tensor& t, int64_t bytes);

/// Elements that a thread of a row-wise kernel moves at a time over all of these tensors (absent ones do not count),
/// whose rows have the same length: 8 when all have 16-bit types, else 4; 1 when a row begins or ends in the middle of
/// that.
int chunkOf(std::initializer_list<const pw_tensor*> tensors);

inline int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace pw::gpu
