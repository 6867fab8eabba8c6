// SPDX-License-Identifier: Apache-2.0
/// @file The ratio of k-SEQ, in one pass over two rows.
///
/// b(rho) = sum of min(q(x), p(x) / rho) needs the masses of p and q on either side of p(x) = rho q(x) only. So one
/// pass puts the tokens into steps by log(p(x) / q(x)), between 0 and log k, and at the bounds of the steps b is known:
/// the least of these that leaves a residual is taken, at most a 2,048th part of log k above the least ratio of all.
/// Any ratio that leaves a residual is lossless; a larger one accepts a little less.
#pragma once
#include "cpu/verify/residual.inl"

namespace pw::cpu::PW_ISA {
namespace {

struct Transport {
  double ratio;
  double one;  ///< b(ratio): the chance that one candidate is accepted
};

/// The chance that some candidate is accepted when each is with chance `one`.
inline double someOf(double one, double candidates) { return 1.0 - std::pow(1.0 - fmin(one, 1.0), candidates); }

/// @param candidates k, above 1
inline Transport solveTransport(const TargetDistribution& p, const TargetDistribution& q, double candidates) {
  constexpr int kSteps = 2048;
  struct Step {
    double p, q;
  };
  Step steps[kSteps + 1] = {};
  double below = 0, above = 0;  // p of the tokens with ratios below 1, q of the others
  const auto a = static_cast<float>(1.0 / p.total), b = static_cast<float>(1.0 / q.total);
  const auto most = static_cast<float>(candidates), perStep = kSteps / std::log(most);
  float mine[kBlock], other[kBlock];
  for (int64_t block = 0; block < blockCount(p.size); ++block) {
    weightsOfBlock(p, block, mine);
    weightsOfBlock(q, block, other);
    const int64_t count = p.size - block * kBlock < kBlock ? p.size - block * kBlock : kBlock;
    for (int64_t i = 0; i < count; ++i) {
      const float x = mine[i] * a, y = other[i] * b;
      if (x < y) {
        below += x;
      } else if (x >= most * y) {
        above += y;
      } else {
        const int step = static_cast<int>(std::log(x / y) * perStep);
        Step& at = steps[step < kSteps ? step : kSteps - 1];
        at.p += x;
        at.q += y;
        above += y;
      }
    }
  }
  // Of each bound: p of the tokens with ratios below it, q of the others.
  for (int i = 0; i <= kSteps; ++i) {
    const Step inside = i < kSteps ? steps[i] : Step{};
    steps[i] = {below, above};
    below += inside.p;
    above -= inside.q;
  }
  const double perRatio = std::log(candidates) / kSteps;
  const auto ratioAt = [&](int bound) { return std::exp(bound * perRatio); };
  const auto chanceAt = [&](int bound) { return steps[bound].q + steps[bound].p / ratioAt(bound); };
  int low = -1, high = kSteps;  // at k itself a residual is left in any case
  while (high - low > 1) {
    const int middle = low < 0 ? 0 : (low + high) / 2;
    const double one = chanceAt(middle);
    (someOf(one, candidates) <= ratioAt(middle) * one * (1.0 + 1e-7) ? high : low) = middle;
  }
  return {ratioAt(high), chanceAt(high)};
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
