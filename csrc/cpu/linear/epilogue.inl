// SPDX-License-Identifier: Apache-2.0
/// @file From a tile of sums to the output: bias, residual, rounding to the output's type.
#pragma once
#include "cpu/rows.h"
#include "cpu/simd/unroll.h"
#include "pagewarp/linear.h"
#include "pagewarp/matrix_layout.h"

namespace pw::cpu::PW_ISA {
namespace {

/// Lanes of elements [i, i + kLanes) of a contiguous row of any floating type.
inline Vec loadAny(const void* row, pw_dtype dtype, int64_t i) {
  switch (dtype) {
    case PW_F16:
      return load(static_cast<const Half*>(row) + i);
    case PW_BF16:
      return load(static_cast<const BFloat*>(row) + i);
    default:
      return load(static_cast<const float*>(row) + i);
  }
}

inline void storeAny(void* row, pw_dtype dtype, int64_t i, Vec v) {
  switch (dtype) {
    case PW_F16:
      return store(static_cast<Half*>(row) + i, v);
    case PW_BF16:
      return store(static_cast<BFloat*>(row) + i, v);
    default:
      return store(static_cast<float*>(row) + i, v);
  }
}

inline float elementAny(const void* row, pw_dtype dtype, int64_t i) {
  switch (dtype) {
    case PW_F16:
      return toFloat(static_cast<const Half*>(row)[i]);
    case PW_BF16:
      return toFloat(static_cast<const BFloat*>(row)[i]);
    default:
      return static_cast<const float*>(row)[i];
  }
}

inline void setElementAny(void* row, pw_dtype dtype, int64_t i, float value) {
  switch (dtype) {
    case PW_F16:
      return fromFloat(value, static_cast<Half*>(row) + i);
    case PW_BF16:
      return fromFloat(value, static_cast<BFloat*>(row) + i);
    default:
      static_cast<float*>(row)[i] = value;
  }
}

/// Outputs of so many bytes are written past the caches. A strip's columns are a cache line in each row, and rows lie a
/// power of two apart, or nearly: their lines share a few sets of the second-level cache, which evict each other while
/// each waits to be read from memory before all of it is overwritten. Measured with 512 tokens, K = 2048 and
/// N = 16384 on a Xeon with AMX, one thread: 57 ms, and 81 to 92 through the caches.
constexpr int64_t kStreamedBytes = 2 << 20;

inline bool streamsOutput(const pw_linear_args& a) {
  return a.out.dtype == PW_F32 && !a.residual.data &&
         rowCount(a.x) * a.weight.n * static_cast<int64_t>(sizeof(float)) >= kStreamedBytes;
}

/// Ends a task that has written to the output.
inline void finishOutput(const pw_linear_args& a) {
  if (streamsOutput(a)) fenceStreams();
}

/// A whole cache line of the output.
inline bool isLine(const float* p, int columns) {
  return columns == kStripRows && reinterpret_cast<uintptr_t>(p) % (kStripRows * sizeof *p) == 0;
}

/// Writes sums[c], c < kStripRows, to columns column + c of the output's row `token`. Once for all kernels: they would
/// grow by all combinations of types.
PW_NO_INLINE void writeRow(const pw_linear_args& a, const float* sums, int64_t token, int64_t column) {
  const int columns = static_cast<int>(a.weight.n - column < kStripRows ? a.weight.n - column : kStripRows);
  void* out = rowPointer(a.out, token);
  const void* residual = a.residual.data ? rowPointer(a.residual, token) : nullptr;
  const bool streamed = streamsOutput(a) && isLine(static_cast<float*>(out) + column, columns);
  int c = 0;
  for (; c + Vec::kLanes <= columns; c += Vec::kLanes) {
    Vec v = loadF32(sums + c);
    if (a.bias.data) v = v + loadAny(a.bias.data, a.bias.dtype, column + c);
    if (residual) v = v + loadAny(residual, a.residual.dtype, column + c);
    if (streamed)
      streamF32(static_cast<float*>(out) + column + c, v);
    else
      storeAny(out, a.out.dtype, column + c, v);
  }
  for (; c < columns; ++c) {
    float v = sums[c];
    if (a.bias.data) v += elementAny(a.bias.data, a.bias.dtype, column + c);
    if (residual) v += elementAny(residual, a.residual.dtype, column + c);
    setElementAny(out, a.out.dtype, column + c, v);
  }
}

/// Writes sums[t * kStripRows + c], t < tokens, to rows token + t and columns column + c of the output.
inline void writeTile(const pw_linear_args& a, const float* sums, int64_t token, int tokens, int64_t column) {
  for (int t = 0; t < tokens; ++t) writeRow(a, sums + t * kStripRows, token + t, column);
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
