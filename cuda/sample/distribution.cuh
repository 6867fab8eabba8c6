// SPDX-License-Identifier: Apache-2.0
/// @file The distribution that sampling draws from and verification compares: what temperature, top-k, top-p and min-p
/// leave of a row of logits (pagewarp/sample.h). As on the CPU it is never materialised: a cut in the total order and a
/// normaliser say everything, and a weight is evaluated where it is needed.
///
/// **Passes over the row**: one, which looks at it and sums its weights (scan.cuh). A filter needs more, since its cut
/// is a function of all the weights: for top-k or top-p one or two (rarely more) that narrow a bracket around the cut
/// and one that collects what lies in it (cut.cuh), each; after any cut one that normalises again, after top-k also
/// before top-p. The draw reads one block (draw.cuh).
#pragma once
#include "sample/cut.cuh"

namespace pw {
namespace sampling {

/// The distribution of a valid, penalised row.
/// @param range of scanRow with the request's scale
/// @param sums of the scan, kept by the result
__device__ inline TargetDistribution makeDistribution(const LogitsRow& row, const RowRange& range,
                                                      const Request& request, float* sums, Shared& shared) {
  TargetDistribution d{row, range, request.scale(), -CUDART_INF_F, row.size, CUDART_INF_F, -1, 0, range.weight, sums};
  if (d.scale == 0.0f) {
    d.scale = 1.0f;
    d.keepFirst();
    return d;
  }
  bool summed = true;
  if (request.topK > 0 && request.topK < range.finite) {
    cutPrefix(d, false, request.topK, belowAll(range), shared);
    summed = false;
  }
  if (request.topP < 1.0f) {
    if (!summed) normalize(d, shared);
    cutByWeight(d, request.topP, shared);
    if (d.only >= 0) return d;
    summed = false;
  }
  if (request.minP > 0.0f) {
    d.raiseCut(static_cast<float>(range.max + log(static_cast<double>(request.minP)) * request.temperature), row.size);
    summed = false;
  }
  if (!summed) normalize(d, shared);
  return d;
}

}  // namespace sampling
}  // namespace pw
