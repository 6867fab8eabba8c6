// SPDX-License-Identifier: Apache-2.0
/// @file Partial selection in the total order of tokens: larger logit first, lower id first among equals.
#pragma once
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

struct Candidate {
  float logit;
  int32_t token;
  float weight;  ///< what a prefix is measured in: 1, or an unnormalised probability
};

inline bool before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/// Reorders `c` so that the shortest prefix of the total order whose weights sum to at least `target` comes first, its
/// last member at the prefix's end. Quickselect: expected linear time whatever the input order.
/// @returns the prefix's length; `count` when all weights together do not reach the target
inline int64_t selectPrefix(Candidate* c, int64_t count, double target) {
  int64_t low = 0, high = count;
  double passed = 0;  // weight of c[0, low)
  uint64_t random = 0x9e3779b97f4a7c15u;
  while (low < high) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const int64_t pick = low + static_cast<int64_t>((random >> 33) % static_cast<uint64_t>(high - low));
    const Candidate pivot = c[pick];
    c[pick] = c[high - 1];
    int64_t at = low;
    double weight = 0;
    for (int64_t i = low; i + 1 < high; ++i) {
      if (!before(c[i], pivot)) continue;
      const Candidate moved = c[i];
      c[i] = c[at];
      c[at++] = moved;
      weight += moved.weight;
    }
    c[high - 1] = c[at];
    c[at] = pivot;
    if (at > low && passed + weight >= target) {
      high = at;
    } else if (passed + weight + pivot.weight >= target) {
      return at + 1;
    } else {
      passed += weight + pivot.weight;
      low = at + 1;
    }
  }
  return count;
}

/// The `k` first tokens of the total order among the finite logits of a row, in one pass: a token enters when it beats
/// the k-th best so far, and the buffer is halved when full.
/// @param buffer room for 2 k candidates
/// @returns how many there are, at most k; the last in the order is at the end
inline int64_t selectTop(const float* row, int64_t size, int64_t k, Candidate* buffer) {
  float threshold = bitsFloat(0xff800000u);  // -inf
  int64_t held = 0;
  const auto take = [&](int64_t i) {
    if (!(row[i] > threshold)) return;
    buffer[held++] = {row[i], static_cast<int32_t>(i), 1.0f};
    if (held < 2 * k) return;
    held = selectPrefix(buffer, held, static_cast<double>(k));
    threshold = buffer[held - 1].logit;  // later ids lose ties, so only larger logits enter
  };
  int64_t i = 0;
  for (; i + Vec::kLanes <= size; i += Vec::kLanes) {
    if (!anyLane(lessThan(Vec(threshold), loadF32(row + i)))) continue;
    for (int64_t j = i; j < i + Vec::kLanes; ++j) take(j);
  }
  for (; i < size; ++i) take(i);
  return selectPrefix(buffer, held, static_cast<double>(k < held ? k : held));
}

/// Puts candidates in the total order: insertion sort, for the few of a top-n list.
inline void sortCandidates(Candidate* c, int64_t count) {
  for (int64_t i = 1; i < count; ++i) {
    const Candidate moved = c[i];
    int64_t j = i;
    for (; j > 0 && before(moved, c[j - 1]); --j) c[j] = c[j - 1];
    c[j] = moved;
  }
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
