// SPDX-License-Identifier: Apache-2.0
/// @file Several candidates a row: the children of a node of a draft tree.
#pragma once
#include "cpu/verify/candidates.h"
#include "cpu/verify/residual.inl"
#include "cpu/verify/verify.h"

namespace pw::cpu::PW_ISA {
namespace {

/// The first k tokens of the support, in order.
inline void takeTop(const pw_candidates_args& a, int64_t row, const TargetDistribution& d, Candidate* buffer) {
  const int64_t wanted = a.ids.shape[1];
  const int64_t found = d.only >= 0 ? 0 : selectTop(d.row, d.size, wanted < d.size ? wanted : d.size, buffer);
  sortCandidates(buffer, found);
  for (int64_t i = 0; i < found && supports(d, buffer[i].token); ++i)
    writeCandidate(a, row, i, buffer[i].token, probability(d, buffer[i].token));
  if (d.only >= 0) writeCandidate(a, row, 0, d.only, 1.0);
}

inline void drawCandidatesOfRow(const pw_candidates_args& a, int64_t row, const Request& request,
                                const TargetDistribution& d, double* sums, Candidate* buffer) {
  if (a.kind == PW_CANDIDATES_TOP) return takeTop(a, row, d, buffer);
  const bool distinct = a.kind == PW_CANDIDATES_DISTINCT;
  int32_t drawn[PW_MAX_CANDIDATES];
  Residual left{&d, nullptr};
  left.rejected = drawn;
  CandidateKeys keys(a, row, request);
  double undrawn = 1.0, total = d.total;
  for (int64_t i = 0; i < a.ids.shape[1]; ++i) {
    const double coin = candidateCoin(a, row, request, PW_DRAW_SAMPLE, i);
    int64_t token = -1;
    if (i == 0 || !distinct) {
      token = draw(d, coin);
    } else {
      if (d.only >= 0) return;
      left.rejectedCount = i;
      total = sumResidual(left, sums);
      if (!(total > 0.0)) return;  // the support is exhausted
      undrawn = total / d.total;
      token = drawResidual(left, sums, total, coin);
    }
    drawn[i] = static_cast<int32_t>(token);
    writeCandidate(a, row, i, token, probability(d, token));
    keys.write(i, undrawn);
  }
}

}  // namespace

void drawCandidates(const pw_candidates_args& a, Context& context) {
  const int64_t size = rowLength(a.logits);
  const auto bytes = static_cast<size_t>(rowMemoryBytes(size) + workspaceBytes(size) + blockCount(size) * 8 + 64);
  context.pool().forRange(a.logits.shape[0], 1 + 4096 / size, [&](int64_t begin, int64_t end, int worker) {
    auto* memory = static_cast<char*>(context.scratch(worker, bytes));
    const RowMemory rowMemory = carveRow(memory, size);
    const Workspace workspace = carveWorkspace(memory, size);
    auto* sums = reinterpret_cast<double*>((reinterpret_cast<uintptr_t>(memory) + 63) / 64 * 64);
    for (int64_t row = begin; row < end; ++row) {
      clearCandidates(a, row);
      const Request request = loadRequest(a.sampling, row, size);
      TargetDistribution d;
      const RowError error = distributionOfRow(
          a.logits, row, request, nullptr, 0, rowMemory, workspace, [](const float*, RowRange) {}, &d);
      failRow(error, context, "drawCandidates", row, size);
      if (error == RowError::kNone) drawCandidatesOfRow(a, row, request, d, sums, workspace.candidates);
    }
  });
}

}  // namespace pw::cpu::PW_ISA
