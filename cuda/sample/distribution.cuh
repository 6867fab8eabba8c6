// SPDX-License-Identifier: Apache-2.0
/// @file The distribution that sampling draws from and verification compares: what temperature, top-k, top-p and min-p
/// leave of a row of logits (pagewarp/sample.h). As on the CPU it is never materialised: a cut in the total order and a
/// normaliser say everything, and a weight is evaluated where it is needed.
///
/// **Readings of the row**: one, which looks at it, sums its weights and lists its first tokens, at least 512 of them
/// (scan.cuh). Filters that leave no more than were listed cut and normalise in the list; the draw reads one block
/// (draw.cuh). Further readings are taken by top-k above PW_GPU_SAMPLE_MOST_TOP, and by top-p and min-p of rows so flat
/// that they leave more tokens than were listed, since such a cut is a function of weights that no memory of a thread
/// block holds. Top-k and top-p: a few that narrow a bracket around the cut and one that collects
/// what lies in it (cut.cuh), each; after any cut one that normalises again, after top-k also before top-p.
#pragma once
#include "sample/cut.cuh"
#include "sample/listed.cuh"

namespace pw {
namespace sampling {

/// Applies a request's filters to a row's distribution as they follow one another.
class Filters {
 public:
  __device__ Filters(TargetDistribution& d, Shared& shared)
      : d_(d), shared_(shared), kept_(isWhole() ? d.range.listed : kMore), isSummed_(true) {}

  __device__ void keepTop(int count) {
    if (count <= d_.range.listed) {
      keepListed(count);
    } else {
      cutPrefix(d_, false, count, belowAll(d_.range), shared_);
      loseList();
    }
  }

  __device__ void keepShare(float share) {
    sum();
    const double target = share * d_.total;
    if (target <= 1.0) return d_.keepFirst();  // the first token weighs 1
    const int length = prefixOfListed(d_, listed(), target, shared_);
    if (length > 0) {
      keepListed(length);
    } else if (kept_ == kMore) {
      cutByWeight(d_, share, shared_);
      loseList();
    }  // else it is short of the target by rounding
  }

  __device__ void keepAbove(float logit) {
    d_.raiseCut(logit, d_.row.size);
    const int supported = supportedOfListed(d_, listed(), shared_);
    if (kept_ != kMore || supported < d_.range.listed) kept_ = supported;
    isSummed_ = false;
  }

  /// Sums the weights of what the filters have left.
  __device__ void sum() {
    if (isSummed_ || d_.only >= 0) return;
    if (kept_ == kMore)
      normalize(d_, shared_);
    else
      sumListed(d_, kept_, shared_);
    isSummed_ = true;
  }

 private:
  static constexpr int kMore = -1;

  __device__ bool isWhole() const { return d_.range.listed > 0 && d_.range.listed == d_.range.finite; }
  __device__ int listed() const { return kept_ == kMore ? d_.range.listed : kept_; }
  __device__ void keepListed(int count) {
    cutListed(d_, count, shared_);
    kept_ = count;
    isSummed_ = false;
  }
  /// Further readings have used the list's memory.
  __device__ void loseList() {
    d_.range.listed = 0;
    kept_ = kMore;
    isSummed_ = false;
  }

  TargetDistribution& d_;
  Shared& shared_;
  int kept_;  ///< the support is so many of the listed tokens; kMore: and perhaps others
  bool isSummed_;
};

/// The distribution of a valid, penalised row.
/// @param range of scanRow with the request's scale; its list, when it is still there, is what `listed` is of
/// @param sums of the scan, kept by the result
__device__ __noinline__ inline TargetDistribution makeDistribution(const LogitsRow& row, const RowRange& range,
                                                                   const Request& request, float* sums,
                                                                   Shared& shared) {
  TargetDistribution d{row, range, request.scale(), -CUDART_INF_F, row.size, CUDART_INF_F,
                       -1,  0,     range.weight,    range.moment,  sums};
  if (d.scale == 0.0f) {
    d.scale = 1.0f;
    d.keepFirst();
    return d;
  }
  Filters filters(d, shared);
  if (request.topK > 0 && request.topK < range.finite) filters.keepTop(request.topK);
  if (request.topP < 1.0f) filters.keepShare(request.topP);
  if (d.only >= 0) return d;
  if (request.minP > 0.0f)
    filters.keepAbove(static_cast<float>(range.max + log(static_cast<double>(request.minP)) * request.temperature));
  filters.sum();
  return d;
}

}  // namespace sampling
}  // namespace pw
