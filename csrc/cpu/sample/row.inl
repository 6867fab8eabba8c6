// SPDX-License-Identifier: Apache-2.0
/// @file From a row of a logits tensor to its distribution: conversion, validity, penalties.
#pragma once
#include "cpu/rows.h"
#include "cpu/sample/distribution.inl"

namespace pw::cpu::PW_ISA {
namespace {

/// The row as f32: where it lies when it already is and `copy` is false, else in `to`.
inline const float* rowAsFloat(const pw_tensor& logits, int64_t row, bool copy, float* to) {
  void* from = rowPointer(logits, row);
  if (logits.dtype == PW_F32 && !copy) return static_cast<const float*>(from);
  const int64_t size = rowLength(logits);
  dispatchFloat(logits.dtype, [&](auto* tag) {
    const auto* p = static_cast<decltype(tag)>(from);
    int64_t i = 0;
    for (; i + Vec::kLanes <= size; i += Vec::kLanes) storeF32(to + i, load(p + i));
    for (; i < size; ++i) to[i] = toFloat(p[i]);
  });
  return to;
}

/// Memory that the distribution of one row keeps.
struct RowMemory {
  float* row;    ///< size
  double* sums;  ///< blockCount(size)
};

inline int64_t rowMemoryBytes(int64_t size) {
  return (size * 4 + 63) / 64 * 64 + (blockCount(size) * 8 + 63) / 64 * 64;
}
inline int64_t workspaceBytes(int64_t size) { return (2 * size * 12 + 63) / 64 * 64 + size * 4; }

inline RowMemory carveRow(char*& memory, int64_t size) {
  RowMemory carved{reinterpret_cast<float*>(memory), reinterpret_cast<double*>(memory + (size * 4 + 63) / 64 * 64)};
  memory += rowMemoryBytes(size);
  return carved;
}
inline Workspace carveWorkspace(char*& memory, int64_t size) {
  Workspace carved{reinterpret_cast<Candidate*>(memory),
                   reinterpret_cast<int32_t*>(memory + (2 * size * 12 + 63) / 64 * 64)};
  memory += workspaceBytes(size);
  return carved;
}

/// Why a row has no distribution.
enum class RowError { kNone, kParameters, kLogits, kToken };

/// The distribution of one row, after the request's history and `extra` further output tokens.
/// @param inspect called with the valid row before penalties, for log-probabilities: inspect(row, range)
template <class Inspect>
RowError distributionOfRow(const pw_tensor& logits, int64_t index, const Request& request, const int32_t* extra,
                           int64_t extraLength, const RowMemory& memory, const Workspace& workspace, Inspect&& inspect,
                           TargetDistribution* out) {
  if (!request.valid) return RowError::kParameters;
  const int64_t size = rowLength(logits);
  const bool penalized = isPenalized(request) && request.historyLength + extraLength > 0;
  const float* row = rowAsFloat(logits, index, penalized, memory.row);
  RowRange range = scanRow(row, size);
  if (!range.valid) return RowError::kLogits;
  inspect(row, range);
  if (penalized) {
    if (!applyPenalties(memory.row, size, request, extra, extraLength, workspace.counts)) return RowError::kToken;
    range = scanRow(row, size);
    if (!range.valid) return RowError::kLogits;
  }
  *out = makeDistribution(row, size, range, request, memory.sums, workspace);
  return RowError::kNone;
}

void failRow(RowError error, Context& context, const char* op, int64_t index, int64_t vocabulary) {
  if (error == RowError::kParameters) failInvalidParameters(context, op, index);
  if (error == RowError::kLogits) failInvalidLogits(context, op, index);
  if (error == RowError::kToken) failInvalidToken(context, op, index, "history", vocabulary);
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
