// SPDX-License-Identifier: Apache-2.0
/// @file The distribution that sampling draws from and verification compares: what temperature, top-k, top-p and min-p
/// leave of a row of logits (pagewarp/sample.h). It is never materialised: a cut in the total order and a normaliser
/// say everything, and a weight is evaluated where it is needed.
#pragma once
#include <cmath>

#include "cpu/sample/candidates.inl"
#include "cpu/sample/request.h"

namespace pw::cpu::PW_ISA {
namespace {

constexpr int64_t kBlock = 256;  ///< tokens whose weights are summed in f32; blocks are summed in f64

inline int64_t blockCount(int64_t size) { return (size + kBlock - 1) / kBlock; }

/// The next f32 below a finite x.
inline float nextBelow(float x) {
  const uint32_t bits = floatBits(x);
  if ((bits & 0x7fffffffu) == 0) return bitsFloat(0x80000001u);
  return bitsFloat(bits & 0x80000000u ? bits + 1 : bits - 1);
}

struct RowRange {
  float max, min;  ///< of the finite values
  bool valid;      ///< no NaN, no +inf, some finite value
};

inline RowRange scanRow(const float* row, int64_t size) {
  const float infinity = bitsFloat(0x7f800000u);
  const Vec inf(infinity), lowest(bitsFloat(0xff7fffffu));
  Vec high = Vec(0.0f) - inf, low = inf, nan(0.0f);
  for (int64_t i = 0; i < size; i += Vec::kLanes) {
    const Vec x = i + Vec::kLanes <= size ? loadF32(row + i) : loadPartial(row + i, size - i, -infinity);
    nan = select(isNaN(x), Vec(1.0f), nan);
    high = max(high, x);
    low = min(low, select(lessThan(x, lowest), inf, x));
  }
  const float top = reduceMax(high), bottom = -reduceMax(Vec(0.0f) - low);
  return {top, bottom, reduceMax(nan) == 0.0f && top > -infinity && top < infinity};
}

/// The lowest token with the logit `value`, which the row contains.
inline int64_t firstIndexOf(const float* row, int64_t size, float value) {
  int64_t i = 0;
  while (i + Vec::kLanes <= size && !anyLane(equal(loadF32(row + i), Vec(value)))) i += Vec::kLanes;
  while (i + 1 < size && row[i] != value) ++i;
  return i;
}

/// Memory of one worker for rows of one size.
struct Workspace {
  Candidate* candidates;  ///< 2 x size
  int32_t* counts;        ///< size
};

struct TargetDistribution {
  const float* row;  ///< penalised logits
  int64_t size;
  RowRange range;
  float scale;       ///< 1 / temperature
  float cut;         ///< the support is the tokens above this logit,
  int64_t cutToken;  ///< and those equal to it up to this token
  int64_t only;      ///< the single token of the support, or -1
  double total;      ///< sum of the weights e^((logit - max) / T) of the support
  double* sums;      ///< the same by blocks; undefined when there is only one token
};

/// e^((x - max) / T), 0 below e^-87: smaller weights are denormal numbers, which are slow and decide nothing.
inline Vec weightOf(const TargetDistribution& d, Vec x) {
  const Vec lowest(-87.0f), exponent = (x - Vec(d.range.max)) * Vec(d.scale);
  return select(lessThan(exponent, lowest), Vec(0.0f), exp(max(exponent, lowest)));
}

/// Weights of tokens [begin, end), which all lie on one side of cutToken.
inline Vec weightsOfPiece(const TargetDistribution& d, int64_t begin, int64_t end, float* out) {
  const bool tieKept = begin <= d.cutToken;
  const Vec cut(d.cut), zero(0.0f);
  Vec sum(0.0f);
  for (int64_t i = begin; i < end; i += Vec::kLanes) {
    const bool whole = i + Vec::kLanes <= end;
    const Vec x = whole ? loadF32(d.row + i) : loadPartial(d.row + i, end - i, bitsFloat(0xff800000u));
    const Mask above = lessThan(cut, x);
    Vec w = zero;
    if (tieKept) {
      if (anyLane(above) || anyLane(equal(x, cut))) w = select(lessThan(x, cut), zero, weightOf(d, x));
    } else if (anyLane(above)) {
      w = select(above, weightOf(d, x), zero);
    }
    sum = sum + w;
    if (whole)
      storeF32(out + (i - begin), w);
    else
      storePartial(out + (i - begin), w, end - i);
  }
  return sum;
}

/// Writes the weights of one block (up to kBlock) and returns their sum.
inline float weightsOfBlock(const TargetDistribution& d, int64_t block, float* out) {
  const int64_t begin = block * kBlock, end = begin + kBlock < d.size ? begin + kBlock : d.size;
  const int64_t split = d.cutToken + 1;
  if (split <= begin || split >= end) return reduceAdd(weightsOfPiece(d, begin, end, out));
  const Vec head = weightsOfPiece(d, begin, split, out);
  return reduceAdd(head + weightsOfPiece(d, split, end, out + (split - begin)));
}

inline void normalize(TargetDistribution& d) {
  float weights[kBlock];
  d.total = 0;
  for (int64_t b = 0; b < blockCount(d.size); ++b) d.total += d.sums[b] = weightsOfBlock(d, b, weights);
}

/// Narrows the support to the most probable token.
inline void keepFirst(TargetDistribution& d) {
  d.only = firstIndexOf(d.row, d.size, d.range.max);
  d.cut = d.range.max;
  d.cutToken = d.only;
  d.total = 1;
}

/// Moves the cut up to a prefix's last member; a lower one changes nothing.
inline void raiseCut(TargetDistribution& d, float logit, int64_t token) {
  if (logit < d.cut || (logit == d.cut && token >= d.cutToken)) return;
  d.cut = logit;
  d.cutToken = token;
}

/// Weight and number of the tokens above each of three rising logits.
struct Above {
  double weight[3];
  int64_t count[3];
};

inline Above measureAbove(const TargetDistribution& d, const float* logits) {
  Above above = {};
  const Vec zero(0.0f), one(1.0f);
  for (int64_t begin = 0; begin < d.size; begin += kBlock) {
    const int64_t end = begin + kBlock < d.size ? begin + kBlock : d.size;
    Vec weight[3] = {zero, zero, zero}, count[3] = {zero, zero, zero};
    for (int64_t i = begin; i < end; i += Vec::kLanes) {
      const Vec x =
          i + Vec::kLanes <= end ? loadF32(d.row + i) : loadPartial(d.row + i, end - i, bitsFloat(0xff800000u));
      if (!anyLane(lessThan(Vec(logits[0]), x))) continue;
      const Vec w = weightOf(d, x);
      for (int j = 0; j < 3; ++j) {
        const Mask larger = lessThan(Vec(logits[j]), x);
        weight[j] = weight[j] + select(larger, w, zero);
        count[j] = count[j] + select(larger, one, zero);
      }
    }
    for (int j = 0; j < 3; ++j) {
      above.weight[j] += reduceAdd(weight[j]);
      above.count[j] += static_cast<int64_t>(reduceAdd(count[j]));
    }
  }
  return above;
}

/// Cuts to the shortest prefix with `share` of the support's weight. A bracket of logits around the cut is narrowed by
/// a pass or a few until it holds few tokens; those are selected among exactly. No sort.
inline void cutByWeight(TargetDistribution& d, float share, const Workspace& workspace) {
  constexpr int64_t kFew = 1024;
  const double target = share * d.total;
  if (target <= 1.0) return keepFirst(d);  // the first token weighs 1
  // All tokens lighter than (1 - share) total / size together weigh less than what may be missing.
  const double lightest = std::log((1.0 - share) * d.total / static_cast<double>(d.size)) / d.scale + d.range.max;
  const double slack = 1e-5 * (std::fabs(lightest) + std::fabs(d.range.max)) + 1e-3 / d.scale;
  float low = static_cast<float>(lightest - slack),
        high = d.range.max;  // weight above low >= target > weight above high
  if (!(low > nextBelow(d.range.min))) low = nextBelow(d.range.min);
  if (d.cut >= d.range.min && low < nextBelow(d.cut)) low = nextBelow(d.cut);
  double passed = 0;  // weight and number of the tokens above high
  int64_t countHigh = 0, inside = d.size;
  for (bool first = true; inside > kFew; first = false) {
    // The first pass also counts what lies above low.
    const double step = (static_cast<double>(high) - low) / (first ? 3 : 4);
    float pivots[3];
    for (int j = 0; j < 3; ++j) pivots[j] = static_cast<float>(low + step * (first ? j : j + 1));
    if (!first && (pivots[0] <= low || pivots[2] >= high)) break;
    const Above above = measureAbove(d, pivots);
    int64_t countLow = countHigh + inside;
    for (int j = 0; j < 3; ++j) {
      if (above.weight[j] >= target || (first && j == 0)) {
        low = pivots[j];
        countLow = above.count[j];
      } else {
        high = pivots[j];
        passed = above.weight[j];
        countHigh = above.count[j];
        break;
      }
    }
    inside = countLow - countHigh;
  }
  Candidate* c = workspace.candidates;
  int64_t count = 0;
  for (int64_t i = 0; i < d.size; i += Vec::kLanes) {
    const int64_t end = i + Vec::kLanes <= d.size ? i + Vec::kLanes : d.size;
    if (end - i == Vec::kLanes) {
      const Vec x = loadF32(d.row + i);
      if (!anyLane(lessThan(Vec(low), select(lessThan(Vec(high), x), Vec(low), x)))) continue;
    }
    for (int64_t j = i; j < end; ++j) {
      const float x = d.row[j];
      const bool supported = x > d.cut || (x == d.cut && j <= d.cutToken);
      if (x > low && x <= high && supported) c[count++] = {x, static_cast<int32_t>(j), 0.0f};
    }
  }
  for (int64_t i = 0; i < count; i += Vec::kLanes) {
    float lanes[Vec::kLanes];
    for (int64_t j = 0; j < Vec::kLanes; ++j) lanes[j] = i + j < count ? c[i + j].logit : d.range.max;
    storeF32(lanes, weightOf(d, loadF32(lanes)));
    for (int64_t j = 0; j < Vec::kLanes && i + j < count; ++j) c[i + j].weight = lanes[j];
  }
  if (count == 0) return;
  const Candidate& last = c[selectPrefix(c, count, target - passed) - 1];
  raiseCut(d, last.logit, last.token);
}

/// The distribution of a valid, penalised row.
/// @param sums one per block, kept by the result
inline TargetDistribution makeDistribution(const float* row, int64_t size, RowRange range, const Request& request,
                                           double* sums, const Workspace& workspace) {
  TargetDistribution d{row, size, range, 1.0f / request.temperature, bitsFloat(0xff800000u), size, -1, 0, sums};
  if (request.temperature < PW_GREEDY_TEMPERATURE) {
    d.scale = 1.0f;
    keepFirst(d);
    return d;
  }
  if (request.topK > 0 && selectTop(row, size, request.topK, workspace.candidates) == request.topK) {
    const Candidate& last = workspace.candidates[request.topK - 1];
    raiseCut(d, last.logit, last.token);
  }
  if (request.topP < 1.0f) {
    normalize(d);
    cutByWeight(d, request.topP, workspace);
    if (d.only >= 0) return d;
  }
  if (request.minP > 0.0f)
    raiseCut(d, static_cast<float>(range.max + std::log(static_cast<double>(request.minP)) * request.temperature),
             size);
  normalize(d);
  return d;
}

inline bool supports(const TargetDistribution& d, int64_t token) {
  return d.row[token] > d.cut || (d.row[token] == d.cut && token <= d.cutToken);
}

inline double probability(const TargetDistribution& d, int64_t token) {
  if (d.only >= 0) return token == d.only ? 1.0 : 0.0;
  if (!supports(d, token)) return 0.0;
  float lanes[Vec::kLanes];
  storeF32(lanes, weightOf(d, Vec(d.row[token])));
  return lanes[0] / d.total;
}

/// Inverse transform sampling in order of tokens: the block first, then within it.
/// @param fill writes the weights of a block
template <class Fill>
int64_t drawFromBlocks(const double* sums, int64_t size, double total, double uniform, Fill&& fill) {
  double left = uniform * total;
  int64_t block = -1;
  bool found = false;
  for (int64_t b = 0; b < blockCount(size) && !found; ++b) {
    if (!(sums[b] > 0)) continue;
    block = b;
    found = left < sums[b];
    if (!found) left -= sums[b];
  }
  float weights[kBlock];
  fill(block, weights);
  const int64_t count = size - block * kBlock < kBlock ? size - block * kBlock : kBlock;
  int64_t token = -1;
  for (int64_t i = 0; i < count; ++i) {
    if (!(weights[i] > 0.0f)) continue;
    token = i;
    if (found && left < weights[i]) break;
    left -= weights[i];
  }
  return block * kBlock + token;
}

inline int64_t draw(const TargetDistribution& d, double uniform) {
  if (d.only >= 0) return d.only;
  return drawFromBlocks(d.sums, d.size, d.total, uniform,
                        [&](int64_t block, float* weights) { weightsOfBlock(d, block, weights); });
}

/// log sum of e^logit over a valid row.
inline double logSumExp(const float* row, int64_t size, RowRange range) {
  TargetDistribution d{row, size, range, 1.0f, bitsFloat(0xff800000u), size, -1, 0, nullptr};
  float weights[kBlock];
  for (int64_t b = 0; b < blockCount(size); ++b) d.total += weightsOfBlock(d, b, weights);
  return range.max + std::log(d.total);
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
