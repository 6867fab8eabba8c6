// SPDX-License-Identifier: Apache-2.0
/// @file Joining partial results: the end of a split plan, and mergeStates.
#pragma once
#include "cpu/attention/common.inl"

namespace pw::cpu::PW_ISA {
namespace {

/// A row's partial results: weighted sums relative to `top`, whose weights add up to `denominator`. Parts with
/// denominator 0 are not read.
struct JoinedState {
  float top;
  float denominator;
};

/// sum = the parts' sums brought to one maximum and added, in order. part(i, &top, &denominator) gives the address of
/// part i's sum (elements of T).
template <class T, class Part>
JoinedState joinParts(int64_t parts, Part&& part, float* sum, int64_t dim) {
  float top = kNoLogit, partTop, partDenominator;
  bool nan = false;
  for (int64_t i = 0; i < parts; ++i) {
    part(i, &partTop, &partDenominator);
    if (partDenominator == 0.0f) continue;
    nan = nan || partTop != partTop;
    top = partTop > top ? partTop : top;
  }
  if (nan) top = std::numeric_limits<float>::quiet_NaN();
  for (int64_t d = 0; d < dim; d += kLanes) store(sum + d, Vec(0.0f));
  float denominator = 0.0f;
  for (int64_t i = 0; i < parts; ++i) {
    const T* from = part(i, &partTop, &partDenominator);
    if (partDenominator == 0.0f) continue;
    const float weight = partTop == top ? 1.0f : std::exp(partTop - top);
    if (weight == 0.0f) continue;
    denominator += weight * partDenominator;
    int64_t d = 0;
    for (; d + kLanes <= dim; d += kLanes) store(sum + d, fma(load(from + d), Vec(weight), load(sum + d)));
    if (d < dim) store(sum + d, fma(loadPartial(from + d, dim - d), Vec(weight), load(sum + d)));
  }
  return {top, denominator};
}

void mergePartials(const pw_attention_args& a, Context& context) {
  const pw_attention_plan& p = a.plan;
  context.pool().run(static_cast<int64_t>(p.mergeCount) * p.kvHeads, [&](int64_t task, int worker) {
    const pw_attention_merge& merge = p.merges[task / p.kvHeads];
    const int32_t group = p.heads / p.kvHeads, firstHead = static_cast<int32_t>(task % p.kvHeads) * group;
    float* sum =
        static_cast<float*>(context.scratch(worker, static_cast<size_t>(roundUp(p.headDim, kLanes)) * sizeof(float)));
    for (int32_t i = 0; i < merge.rows; ++i)
      for (int32_t head = firstHead; head < firstHead + group; ++head) {
        const JoinedState joined = joinParts<float>(
            pw_attention_parts(&merge),
            [&](int64_t part, float* top, float* denominator) -> const float* {
              const int64_t row = pw_attention_partial_row(&merge, static_cast<int32_t>(part), i);
              const float* state = partialState(a, row, head);
              *top = state[0];
              *denominator = state[1];
              return partialSum(a, row, head);
            },
            sum, p.headDim);
        finishRow(a, merge.rowBegin + i, head, sum, joined.top, joined.denominator);
      }
  });
}

}  // namespace

void mergeStates(const pw_merge_states_args& a, Context& context) {
  const int64_t parts = a.outs.shape[0], heads = a.outs.shape[2], dim = a.outs.shape[3];
  pw_attention_args result{};
  result.out = a.out;
  result.lse = a.lse;
  result.plan.headDim = static_cast<int32_t>(dim);
  const int64_t grain = 1 + 32768 / (parts * dim + 1);
  context.pool().forRange(a.outs.shape[1] * heads, grain, [&](int64_t begin, int64_t end, int worker) {
    float* sum =
        static_cast<float*>(context.scratch(worker, static_cast<size_t>(roundUp(dim, kLanes)) * sizeof(float)));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / heads, head = i % heads;
      dispatchFloat(a.outs.dtype, [&](auto* tag) {
        const auto* outs =
            static_cast<const decltype(tag)>(a.outs.data) + row * a.outs.strides[1] + head * a.outs.strides[2];
        using T = std::remove_cv_t<std::remove_pointer_t<decltype(tag)>>;
        const JoinedState joined = joinParts<T>(
            parts,
            [&](int64_t part, float* top, float* denominator) -> const T* {
              *top = static_cast<const float*>(
                  a.lses.data)[part * a.lses.strides[0] + row * a.lses.strides[1] + head * a.lses.strides[2]];
              *denominator = *top == kNoLogit ? 0.0f : 1.0f;
              return outs + part * a.outs.strides[0];
            },
            sum, dim);
        finishRow(result, row, static_cast<int32_t>(head), sum, joined.top, joined.denominator);
      });
    }
  });
}

}  // namespace pw::cpu::PW_ISA
