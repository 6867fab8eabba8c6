// SPDX-License-Identifier: Apache-2.0
/// @file The distribution that sampling draws from and verification compares: what temperature, top-k, top-p and min-p
/// leave of a row of logits (pagewarp/sample.h). As on the CPU it is never materialised: a cut in the total order and a
/// normaliser say everything, and a weight is evaluated where it is needed. Nothing is sorted but some thousand
/// candidates around a cut.
///
/// **Passes over the row**: one, which looks at it and sums its weights, each block's relative to its own largest logit
/// until the row's is known (online softmax; Milakov and Gimelshein, 2018). For top-k or top-p one or two (rarely more)
/// that narrow a bracket around the cut and one that collects what lies in it, each; after any cut one that normalises
/// again, after top-k also before top-p. The draw reads one block.
///
/// **The draw**, as on the CPU: with u of the request's Philox counter, the first token in order of ids at which the
/// cumulative weight exceeds u times the total. Weights of 256 tokens are summed in f32 and such sums in f64, in a
/// fixed order; the walk goes over blocks first and then within one. So a token does not depend on the batch or on the
/// timing, and differs from the CPU's only where u lies within rounding of a boundary.
///
/// Everything here is called by all threads of a block, whose number is a multiple of 32 and at most 512, with the
/// same arguments, and returns the same to all.
#pragma once
#include "sample/request.cuh"

namespace pw {
namespace sampling {

constexpr int kCandidates = 2048;  ///< that are told apart exactly; more than PW_GPU_SAMPLE_MOST_TOP

/// Weight and number of the tokens above each of three logits.
struct Above {
  double weight[3];
  int count[3];
};

struct Shared {
  uint64_t ranks[kCandidates];
  float inOrder[kBlock];  ///< weights of one block of tokens
  float weights[kWarp][3];
  int counts[kWarp][3];
  Above above;
  uint64_t best[kWarp];
  float low[kWarp];
  int finite[kWarp], bad[kWarp];
  double left;
  int count, index;
};

struct RowRange {
  float max, min;  ///< of the finite logits
  int first;       ///< the first token in the total order
  int finite;      ///< finite logits
  int valid;       ///< no NaN, no +inf, some finite logit
  double weight;   ///< sum of e^((x - max) scale), with the scale of the scan
};

/// e^x, 0 below e^-87 as on the CPU.
__device__ inline float weightOfExponent(float x) { return x < -87.0f ? 0.0f : expf(x); }

/// Sum of one f32 per block of tokens, by all threads.
__device__ inline double sumOfSums(int blocks, const float* sums, Shared& shared) {
  if (warpIndex() == 0) {
    double total = 0;
    for (int b = laneIndex(); b < blocks; b += kWarp) total += sums[b];
    total = reduceWarp(total, Sum());
    if (laneIndex() == 0) shared.left = total;
  }
  __syncthreads();
  const double total = shared.left;
  __syncthreads();
  return total;
}

/// Looks at a row and sums its weights e^((x - max) scale) by blocks, in one pass.
/// @param scale 1 / temperature; 0: no weights are wanted
/// @param sums memory for two numbers per block: the sums, and scratch
__device__ __noinline__ inline RowRange scanRow(const LogitsRow& row, float scale, float* sums, Shared& shared) {
  const int blocks = row.blocks();
  float* tops = sums + blocks;  // each block's largest logit, which its sum is relative to at first
  Scan scan;
  for (int b = warpIndex(); b < blocks; b += warpCount()) {
    float x[kPerLane];
    row.load(b, x);
    scan.take(x, b);
    if (scale == 0.0f) continue;
    float top = -CUDART_INF_F, sum = 0.0f;
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) top = fmaxf(top, x[j]);
    top = reduceWarp(top, Maximum());
    if (top > -CUDART_INF_F) {
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) sum += weightOfExponent((x[j] - top) * scale);
    }
    sum = reduceWarp(sum, Sum());
    if (laneIndex() != 0) continue;
    sums[b] = sum;
    tops[b] = top;
  }
  scan.best = reduceWarp(scan.best, Maximum());
  scan.low = -reduceWarp(-scan.low, Maximum());
  scan.finite = reduceWarp(scan.finite, Sum());
  const bool bad = __any_sync(kAllLanes, scan.bad);
  __syncthreads();
  if (laneIndex() == 0) {
    shared.best[warpIndex()] = scan.best;
    shared.low[warpIndex()] = scan.low;
    shared.finite[warpIndex()] = scan.finite;
    shared.bad[warpIndex()] = bad;
  }
  __syncthreads();
  uint64_t best = 0;
  RowRange range{0.0f, CUDART_INF_F, 0, 0, 1, 0.0};
  for (int w = 0; w < warpCount(); ++w) {
    best = Maximum()(best, shared.best[w]);
    range.min = fminf(range.min, shared.low[w]);
    range.finite += shared.finite[w];
    range.valid = range.valid && !shared.bad[w];
  }
  range.valid = range.valid && range.finite > 0;
  range.max = logitOfRank(best);
  range.first = tokenOfRank(best);
  if (scale == 0.0f || !range.valid) return range;
  // A block whose largest weight is 0 has none at all, as for those who weigh its tokens one by one.
  for (int b = static_cast<int>(threadIdx.x); b < blocks; b += static_cast<int>(blockDim.x))
    sums[b] *= weightOfExponent((tops[b] - range.max) * scale);
  __syncthreads();
  range.weight = sumOfSums(blocks, sums, shared);
  return range;
}

struct TargetDistribution {
  LogitsRow row;  ///< penalised logits
  RowRange range;
  float scale;    ///< 1 / temperature
  float cut;      ///< the support is the tokens above this logit,
  int cutToken;   ///< and those equal to it up to this token,
  float ceiling;  ///< if they are not above this one (+inf but while equal logits are counted)
  int only;       ///< the single token of the support, or -1
  double total;   ///< sum of the weights e^((logit - max) / T) of the support
  float* sums;    ///< the same by blocks, in global memory; undefined when there is only one token

  __device__ bool supports(float logit, int token) const {
    return (logit > cut || (logit == cut && token <= cutToken)) && logit <= ceiling;
  }

  /// e^((x - max) / T)
  __device__ float weightOf(float x) const { return weightOfExponent((x - range.max) * scale); }
  /// This lane's weights of a block.
  __device__ void weigh(int block, float (&w)[kPerLane]) const {
    float x[kPerLane];
    row.load(block, x);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) w[j] = supports(x[j], block * kBlock + placeInBlock(j)) ? weightOf(x[j]) : 0.0f;
  }
  __device__ double probability(int token) const {
    if (only >= 0) return token == only ? 1.0 : 0.0;
    const float x = row[token] + 0.0f;
    return supports(x, token) ? weightOf(x) / total : 0.0;
  }
  /// Moves the cut up to a prefix's last member; a lower one changes nothing.
  __device__ void raiseCut(float logit, int token) {
    if (logit < cut || (logit == cut && token >= cutToken)) return;
    cut = logit;
    cutToken = token;
  }
  __device__ void keepFirst() {
    only = cutToken = range.first;
    cut = range.max;
    total = 1;
  }
};

/// Where a running sum passes `left`, over items 0 to count: the first item i with left - (sum of the items before it)
/// < weight(i), or <= with kReaches. When the sum never gets there, the last item with a weight, and `rest` is
/// infinite.
struct Crossing {
  int index;    ///< -1: no item has a weight
  double rest;  ///< left less the sum of the items before
};

/// By one whole warp; each lane takes neighbouring items.
template <bool kReaches, class Weight>
__device__ Crossing findCrossing(int count, double left, Weight&& weight) {
  const int each = (count + kWarp - 1) / kWarp, begin = laneIndex() * each, end = min(begin + each, count);
  double own = 0;
  for (int i = begin; i < end; ++i) own += weight(i);
  double before = own;  // inclusive sum over lanes
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const double other = __shfl_up_sync(kAllLanes, before, distance);
    if (laneIndex() >= distance) before += other;
  }
  double rest = left - (before - own), restThere = CUDART_INF;
  int found = INT_MAX, last = -1;
  for (int i = begin; i < end && found == INT_MAX; ++i) {
    const double w = weight(i);
    if (!(w > 0)) continue;
    last = i;
    if (kReaches ? rest <= w : rest < w) {
      found = i;
      restThere = rest;
    } else {
      rest -= w;
    }
  }
  const int index = reduceWarp(found, [](int a, int b) { return a < b ? a : b; });
  if (index == INT_MAX) return {reduceWarp(last, Maximum()), CUDART_INF};
  const int lane = __ffs(__ballot_sync(kAllLanes, found == index)) - 1;
  return {index, __shfl_sync(kAllLanes, restThere, lane)};
}

/// Sums by blocks of weigh(block, float (&w)[kPerLane]) into global memory, and their sum.
template <class Weigh>
__device__ double sumBlocks(int blocks, float* sums, Weigh&& weigh, Shared& shared) {
  for (int b = warpIndex(); b < blocks; b += warpCount()) {
    float w[kPerLane], sum = 0.0f;
    weigh(b, w);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) sum += w[j];
    sum = reduceWarp(sum, Sum());
    if (laneIndex() == 0) sums[b] = sum;
  }
  __syncthreads();
  return sumOfSums(blocks, sums, shared);
}

/// Inverse transform sampling in order of tokens, from weights whose sums by blocks are known.
/// @param left the uniform number times the total
/// @returns a token; -1 when there is no weight at all
template <class Weigh>
__device__ int drawFromBlocks(int blocks, const float* sums, double left, Weigh&& weigh, Shared& shared) {
  if (warpIndex() == 0) {
    const Crossing block = findCrossing<false>(blocks, left, [&](int b) { return static_cast<double>(sums[b]); });
    int token = -1;
    if (block.index >= 0) {
      float w[kPerLane];
      weigh(block.index, w);
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) shared.inOrder[placeInBlock(j)] = w[j];
      __syncwarp();
      const Crossing place =
          findCrossing<false>(kBlock, block.rest, [&](int i) { return static_cast<double>(shared.inOrder[i]); });
      token = block.index * kBlock + place.index;
    }
    if (laneIndex() == 0) shared.index = token;
  }
  __syncthreads();
  const int token = shared.index;
  __syncthreads();
  return token;
}

__device__ __noinline__ inline void normalize(TargetDistribution& d, Shared& shared) {
  d.total = sumBlocks(
      d.row.blocks(), d.sums, [&](int block, float(&w)[kPerLane]) { d.weigh(block, w); }, shared);
}

/// The token of the support at which the cumulative weight exceeds `left`. After normalize().
__device__ __noinline__ inline int drawAt(const TargetDistribution& d, double left, Shared& shared) {
  return drawFromBlocks(
      d.row.blocks(), d.sums, left, [&](int block, float(&w)[kPerLane]) { d.weigh(block, w); }, shared);
}

__device__ inline int draw(const TargetDistribution& d, double uniform, Shared& shared) {
  return d.only >= 0 ? d.only : drawAt(d, uniform * d.total, shared);
}

/// Leaves in shared.above the weight (or, byWeight false, the number) of the tokens above each of three rising logits.
__device__ __noinline__ inline void measureAbove(const TargetDistribution& d, bool byWeight, const float (&logits)[3],
                                                 Shared& shared) {
  float weight[3] = {};
  int count[3] = {};
  for (int b = warpIndex(); b < d.row.blocks(); b += warpCount()) {
    float x[kPerLane];
    d.row.load(b, x);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      if (!(x[j] > logits[0])) continue;
      const float w = byWeight ? d.weightOf(x[j]) : 0.0f;
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        if (!(x[j] > logits[i])) continue;
        weight[i] += w;
        ++count[i];
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    weight[i] = reduceWarp(weight[i], Sum());
    count[i] = reduceWarp(count[i], Sum());
    if (laneIndex() != 0) continue;
    shared.weights[warpIndex()][i] = weight[i];
    shared.counts[warpIndex()][i] = count[i];
  }
  __syncthreads();
  if (threadIdx.x < 3) {
    double sum = 0;
    int total = 0;
    for (int w = 0; w < warpCount(); ++w) {
      sum += shared.weights[w][threadIdx.x];
      total += shared.counts[w][threadIdx.x];
    }
    shared.above.weight[threadIdx.x] = byWeight ? sum : total;
    shared.above.count[threadIdx.x] = total;
  }
  __syncthreads();
}

/// Puts the ranks of the tokens of the support with logits in (low, high] into shared.ranks, in the total order.
/// @returns how many; there must not be more than kCandidates
__device__ __noinline__ inline int collect(const TargetDistribution& d, float low, float high, Shared& shared) {
  __syncthreads();
  if (threadIdx.x == 0) shared.count = 0;
  __syncthreads();
  for (int b = warpIndex(); b < d.row.blocks(); b += warpCount()) {
    float x[kPerLane];
    d.row.load(b, x);
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      const int token = b * kBlock + placeInBlock(j);
      if (!(x[j] > low && x[j] <= high && d.supports(x[j], token))) continue;
      const int at = atomicAdd(&shared.count, 1);
      if (at < kCandidates) shared.ranks[at] = rankOf(x[j], token);
    }
  }
  __syncthreads();
  const int count = min(shared.count, kCandidates);
  int size = 1;
  while (size < count) size *= 2;
  for (int i = count + static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) shared.ranks[i] = 0;
  // Bitonic sort, largest rank first.
  for (int run = 2; run <= size; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
        const int other = i ^ distance;
        if (other < i) continue;
        const uint64_t a = shared.ranks[i], b = shared.ranks[other];
        if ((a < b) != ((i & run) == 0)) continue;
        shared.ranks[i] = b;
        shared.ranks[other] = a;
      }
    }
  }
  __syncthreads();
  return count;
}

/// The next f32 below a finite x.
__device__ inline float nextBelow(float x) { return x == 0.0f ? -1.40129846e-45f : fromOrder(orderOf(x) - 1); }

/// Three logits in rising order strictly between low and high, which are not neighbours; the first is low itself with
/// `withLow`. Evenly spaced, or evenly among the floats where that leaves no room or low is not finite.
__device__ inline void choosePivots(float low, float high, bool withLow, float (&pivots)[3]) {
  const int parts = withLow ? 3 : 4, first = withLow ? 0 : 1;
  const uint32_t start = orderOf(low), span = orderOf(high) - start;
  const double step = (static_cast<double>(high) - low) / parts;
  for (int j = 0; j < 3; ++j) {
    if (j + first == 0) {
      pivots[j] = low;
      continue;
    }
    pivots[j] = static_cast<float>(low + step * (j + first));
    if (pivots[j] > low && pivots[j] < high) continue;
    const auto offset = static_cast<uint32_t>(static_cast<uint64_t>(span) * (j + first) / parts);
    pivots[j] = fromOrder(start + min(max(offset, 1u), span - 1));
  }
}

/// Cuts to the shortest prefix of the total order with at least `target` of weight, or (byWeight false) of tokens.
/// @param low a logit such that the tokens above it surely suffice
__device__ __noinline__ inline void cutPrefix(TargetDistribution& d, bool byWeight, double target, float low,
                                              Shared& shared) {
  float high = d.range.max;  // weight above low >= target > weight above high
  double passed = 0;         // weight and number of the tokens above high
  int countHigh = 0, inside = d.row.size;
  for (bool first = true; inside > kCandidates; first = false) {
    if (orderOf(high) - orderOf(low) <= 1) break;  // equal logits, all of them
    float pivots[3];
    choosePivots(low, high, first, pivots);  // the first pass also counts what lies above low
    measureAbove(d, byWeight, pivots, shared);
    const Above& above = shared.above;
    int countLow = countHigh + inside;
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
  if (inside > kCandidates) {
    // More equal logits than can be listed: the first of them by id, as many as it takes.
    const float each = byWeight ? d.weightOf(high) : 1.0f;
    const double wanted = each > 0.0f ? ceil((target - passed) / each) : 1.0;
    TargetDistribution equal = d;
    equal.raiseCut(high, d.row.size);
    equal.ceiling = high;
    equal.scale = 0.0f;  // all weigh 1
    normalize(equal, shared);
    const int token = drawAt(equal, wanted < 1.0 ? 0.0 : wanted - 1.0, shared);
    if (token >= 0) d.raiseCut(high, token);
    return;
  }
  const int count = collect(d, low, high, shared);
  if (count == 0) return;
  if (warpIndex() == 0) {
    const Crossing last = findCrossing<true>(count, target - passed, [&](int i) {
      return byWeight ? static_cast<double>(d.weightOf(logitOfRank(shared.ranks[i]))) : 1.0;
    });
    // Short of the target by rounding, the prefix ends with the last candidate.
    if (laneIndex() == 0) shared.index = last.rest < CUDART_INF ? last.index : count - 1;
  }
  __syncthreads();
  const uint64_t rank = shared.ranks[shared.index];
  __syncthreads();
  d.raiseCut(logitOfRank(rank), tokenOfRank(rank));
}

/// A logit below all finite ones.
__device__ inline float belowAll(const RowRange& range) { return nextBelow(range.min); }

/// Cuts to the shortest prefix with `share` of the support's weight.
__device__ inline void cutByWeight(TargetDistribution& d, float share, Shared& shared) {
  const double target = share * d.total;
  if (target <= 1.0) return d.keepFirst();  // the first token weighs 1
  // All tokens lighter than (1 - share) total / size together weigh less than what may be missing.
  const double lightest = log((1.0 - share) * d.total / d.row.size) / d.scale + d.range.max;
  const double slack = 1e-5 * (fabs(lightest) + fabs(static_cast<double>(d.range.max))) + 1e-3 / d.scale;
  float low = static_cast<float>(lightest - slack);
  if (!(low > belowAll(d.range))) low = belowAll(d.range);
  if (d.cut >= d.range.min && low < nextBelow(d.cut)) low = nextBelow(d.cut);
  cutPrefix(d, true, target, low, shared);
}

/// The distribution of a valid, penalised row.
/// @param range of scanRow with the request's scale
/// @param sums of the scan, kept by the result
__device__ inline TargetDistribution makeDistribution(const LogitsRow& row, const RowRange& range,
                                                      const Request& request, float* sums, Shared& shared) {
  TargetDistribution d{row, range, request.scale(), -CUDART_INF_F, row.size, CUDART_INF_F, -1, range.weight, sums};
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
