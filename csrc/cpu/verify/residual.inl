// SPDX-License-Identifier: Apache-2.0
/// @file What is left of the target's distribution when drafted tokens were rejected. Like the distributions that it is
/// made of (cpu/sample/distribution.inl), it is never materialised.
#pragma once
#include "cpu/sample/row.inl"

namespace pw::cpu::PW_ISA {
namespace {

/// Weights keep p(x) - take min(q(x), cap p(x)), where that is positive, but 0 for some tokens. The residual after
/// rejecting several draws from q one after the other has this form, too: relu(relu(p - a q) / S - q) is proportional
/// to relu(p - (a + S) q).
struct Residual {
  const TargetDistribution* p;
  const TargetDistribution* q;  ///< null: only tokens are taken away
  float keep = 1.0f;
  float take = 0.0f;
  float cap = bitsFloat(0x7f800000u);  ///< +inf: q alone
  const int32_t* rejected = nullptr;
  int64_t rejectedCount = 0;
};

/// Writes one block of the residual's weights and returns their sum; `out` has room for kBlock, and is zero beyond the
/// row's end up to the next whole vector.
inline float residualOfBlock(const Residual& r, int64_t block, float* out) {
  const int64_t begin = block * kBlock, size = r.p->size;
  const int64_t whole = (size - begin + Vec::kLanes - 1) / Vec::kLanes * Vec::kLanes;
  const int64_t end = whole < kBlock ? whole : kBlock;
  for (int64_t i = size - begin; i < end; ++i) out[i] = 0.0f;
  weightsOfBlock(*r.p, block, out);
  if (r.q && r.take > 0.0f) {
    float other[kBlock];
    for (int64_t i = size - begin; i < end; ++i) other[i] = 0.0f;
    weightsOfBlock(*r.q, block, other);
    const Vec a(static_cast<float>(1.0 / r.p->total)), b(static_cast<float>(1.0 / r.q->total));
    const Vec keep(r.keep), take(r.take), cap(r.cap);
    const bool capped = r.cap < bitsFloat(0x7f800000u);
    for (int64_t i = 0; i < end; i += Vec::kLanes) {
      const Vec p = loadF32(out + i) * a;
      Vec taken = loadF32(other + i) * b;
      if (capped) taken = min(taken, p * cap);
      storeF32(out + i, max(keep * p - take * taken, Vec(0.0f)));
    }
  }
  for (int64_t n = 0; n < r.rejectedCount; ++n)
    if (r.rejected[n] >= begin && r.rejected[n] < begin + kBlock) out[r.rejected[n] - begin] = 0.0f;
  Vec sum(0.0f);
  for (int64_t i = 0; i < end; i += Vec::kLanes) sum = sum + loadF32(out + i);
  return reduceAdd(sum);
}

/// Sum of the weights; by blocks in `sums`. Reads both rows, or where only tokens are taken away their blocks.
inline double sumResidual(const Residual& r, double* sums) {
  float weights[kBlock];
  double total = 0;
  const bool isWhole = r.q && r.take > 0.0f;
  for (int64_t b = 0; b < blockCount(r.p->size); ++b) sums[b] = isWhole ? residualOfBlock(r, b, weights) : r.p->sums[b];
  for (int64_t n = 0; !isWhole && n < r.rejectedCount; ++n)
    sums[r.rejected[n] / kBlock] = residualOfBlock(r, r.rejected[n] / kBlock, weights);
  for (int64_t b = 0; b < blockCount(r.p->size); ++b) total += sums[b];
  return total;
}

/// Draws a token from the residual whose sums these are. An empty one means p = q up to rounding, where a rejection has
/// the probability of a rounding error: p then.
inline int64_t drawResidual(const Residual& r, const double* sums, double total, double uniform) {
  if (!(total > 0)) return draw(*r.p, uniform);
  return drawFromBlocks(sums, r.p->size, total, uniform,
                        [&](int64_t block, float* out) { residualOfBlock(r, block, out); });
}

/// Entropy in nats: log Z - mean of (logit - max) / T.
inline double entropyOf(const TargetDistribution& d) {
  if (d.only >= 0) return 0.0;
  float weights[kBlock];
  double mean = 0;
  for (int64_t block = 0; block < blockCount(d.size); ++block) {
    for (int64_t i = d.size - block * kBlock; i < kBlock; ++i) weights[i] = 0.0f;
    weightsOfBlock(d, block, weights);
    for (int64_t i = 0; i < kBlock && block * kBlock + i < d.size; ++i)
      if (weights[i] > 0.0f)
        mean += static_cast<double>(weights[i]) * (static_cast<double>(d.row[block * kBlock + i]) - d.range.max);
  }
  return std::log(d.total) - mean * d.scale / d.total;
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
