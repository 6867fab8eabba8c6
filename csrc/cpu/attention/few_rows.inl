// SPDX-License-Identifier: Apache-2.0
/// @file Attention of at most 8 packed rows: decode, and verification with small groups. Keys and values are read once,
/// straight from the pages, for all rows of the group; lanes run along the head dimension.
#pragma once
#include "cpu/attention/common.inl"

namespace pw::cpu::PW_ISA {
namespace {

constexpr int kFewRows = 8;
/// Running sums that fit the register file beside their operands.
constexpr int kAccumulators = kLanes == 16 ? 16 : 8;
constexpr int64_t kLogitStride = kTile + 16;

struct FewRows {
  const float* q;  // [RB][padded], zero beyond the head dimension
  float* sum;      // [RB][padded]
  float* logits;   // [RB][kLogitStride]; then the weights
  int64_t padded;
  WidenRow* widenRow;  // of codes that there are no kernels for: blocks become f32 first; else null
  float* widened;      // [2][kTile][padded]
  float top[kFewRows], denominator[kFewRows], rescale[kFewRows];
};

void prefetchRow(const char* row, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) prefetch(row + i);
}

/// logits[r][i] = q[r] . k[i]: kLanes dot products at a time, so that their horizontal sums are taken together.
/// kPartial: the head dimension is no multiple of the lanes.
template <class Cache, int RB, bool kPartial>
void scoreBlock(const FewRows& f, const KvBlock& block, int32_t n, int64_t dim) {
  constexpr int kKeys = kLanes / RB;
  const int64_t whole = dim / kLanes * kLanes, rowBytes = Cache::rowBytes(dim);
  for (int32_t i0 = 0; i0 < n; i0 += kKeys) {
    typename Cache::Row k[kKeys];
    for (int i = 0; i < kKeys; ++i) {
      const int32_t key = i0 + i < n ? i0 + i : n - 1;
      k[i] = Cache::rowAt(block.k[key]);
      prefetchRow(block.v[key], rowBytes);
    }
    Vec dot[kLanes];
    PW_IN_REGISTERS
    for (int i = 0; i < kLanes; ++i) dot[i] = Vec(0.0f);
    for (int64_t d = 0; d < whole; d += kLanes) PW_IN_REGISTERS
    for (int i = 0; i < kKeys; ++i) {
      const Vec key = load(k[i] + d);
      PW_IN_REGISTERS
      for (int r = 0; r < RB; ++r) dot[r * kKeys + i] = fma(key, load(f.q + r * f.padded + d), dot[r * kKeys + i]);
    }
    if (kPartial) PW_IN_REGISTERS
    for (int i = 0; i < kKeys; ++i) {
      const Vec key = loadPartial(k[i] + whole, dim - whole);
      PW_IN_REGISTERS
      for (int r = 0; r < RB; ++r) dot[r * kKeys + i] = fma(key, load(f.q + r * f.padded + whole), dot[r * kKeys + i]);
    }
    float sums[kLanes];
    store(sums, sumEach(dot));
    for (int r = 0; r < RB; ++r)
      for (int i = 0; i < kKeys; ++i) f.logits[r * kLogitStride + i0 + i] = sums[r * kKeys + i];
  }
}

/// Turns a row's logits into weights relative to its new maximum.
void softmaxRow(FewRows& f, int r, int32_t n) {
  float* logits = f.logits + r * kLogitStride;
  const int64_t count = roundUp(n, kLanes);
  for (int64_t i = n; i < count; ++i) logits[i] = kNoLogit;
  Vec highest(kNoLogit);
  for (int64_t i = 0; i < count; i += kLanes) highest = max(highest, load(logits + i));
  const float blockTop = reduceMax(highest), top = blockTop > f.top[r] ? blockTop : f.top[r];
  const Vec base(top == kNoLogit ? 0.0f : top);
  Vec total(0.0f);
  for (int64_t i = 0; i < count; i += kLanes) {
    const Vec weight = exp(load(logits + i) - base);
    total = total + weight;
    store(logits + i, weight);
  }
  f.rescale[r] = top == f.top[r] ? 1.0f : std::exp(f.top[r] - top);
  f.denominator[r] = f.denominator[r] * f.rescale[r] + reduceAdd(total);
  f.top[r] = top;
}

/// sum[r][d ...] = sum * rescale + weights . v for DV registers of columns. kSelect leaves out values of weight 0,
/// which matters when they are not finite.
template <class Cache, int RB, int DV, bool kSelect, bool kPartial>
void accumulateColumns(const FewRows& f, const KvBlock& block, int32_t n, int64_t d, int64_t width) {
  Vec sum[RB][DV];
  PW_IN_REGISTERS
  for (int r = 0; r < RB; ++r) PW_IN_REGISTERS
  for (int j = 0; j < DV; ++j) sum[r][j] = load(f.sum + r * f.padded + d + j * kLanes) * Vec(f.rescale[r]);
  for (int32_t i = 0; i < n; ++i) {
    const auto v = Cache::rowAt(block.v[i]) + d;
    Vec value[DV];
    PW_IN_REGISTERS
    for (int j = 0; j < DV; ++j) value[j] = kPartial ? loadPartial(v, width) : load(v + j * kLanes);
    PW_IN_REGISTERS
    for (int r = 0; r < RB; ++r) {
      const float w = f.logits[r * kLogitStride + i];
      if (kSelect && w == 0.0f) continue;
      PW_IN_REGISTERS
      for (int j = 0; j < DV; ++j) sum[r][j] = fma(Vec(w), value[j], sum[r][j]);
    }
  }
  PW_IN_REGISTERS
  for (int r = 0; r < RB; ++r) PW_IN_REGISTERS
  for (int j = 0; j < DV; ++j) store(f.sum + r * f.padded + d + j * kLanes, sum[r][j]);
}

template <class Cache, int RB, bool kSelect>
void accumulateBlock(const FewRows& f, const KvBlock& block, int32_t n, int64_t dim) {
  constexpr int kColumns = kAccumulators / RB;
  int64_t d = 0;
  for (; d + kColumns * kLanes <= dim; d += kColumns * kLanes)
    accumulateColumns<Cache, RB, kColumns, kSelect, false>(f, block, n, d, 0);
  for (; d + kLanes <= dim; d += kLanes) accumulateColumns<Cache, RB, 1, kSelect, false>(f, block, n, d, 0);
  if (d < dim) accumulateColumns<Cache, RB, 1, kSelect, true>(f, block, n, d, dim - d);
}

void widenBlock(const FewRows& f, KvBlock* block, int32_t n, int64_t dim) {
  for (int32_t i = 0; i < n; ++i) {
    float *k = f.widened + i * f.padded, *v = f.widened + (kTile + i) * f.padded;
    f.widenRow(block->k[i], 1.0f, k, dim, f.padded);
    f.widenRow(block->v[i], 1.0f, v, dim, f.padded);
    block->k[i] = reinterpret_cast<const char*>(k);
    block->v[i] = reinterpret_cast<const char*>(v);
  }
}

template <class Cache, int RB, bool kSelect>
void fewRowsPass(const Task& t, FewRows& f) {
  const pw_attention_args& a = t.a;
  const int64_t rowBytes = Cache::rowBytes(t.dim);
  for (int r = 0; r < RB; ++r) {
    f.top[r] = kNoLogit;
    f.denominator[r] = 0.0f;
  }
  for (int64_t i = 0; i < RB * f.padded; ++i) f.sum[i] = 0.0f;
  KvBlock blocks[2];
  KvBlock *block = &blocks[0], *following = &blocks[1];
  int32_t k = t.item.kvBegin, n = nextBlock(t, &k);
  if (n > 0) locate(t, k, n, block);
  while (n > 0) {
    int32_t nextKey = k + n;
    const int32_t nextCount = nextBlock(t, &nextKey);
    if (nextCount > 0) locate(t, nextKey, nextCount, following);
    if (f.widenRow) widenBlock(f, block, n, t.dim);
    if (t.dim % kLanes == 0)
      scoreBlock<Cache, RB, false>(f, *block, n, t.dim);
    else
      scoreBlock<Cache, RB, true>(f, *block, n, t.dim);
    const bool unmasked = everyRowSees(t, k, n);
    for (int r = 0; r < RB; ++r) {
      float* logits = f.logits + r * kLogitStride;
      if (a.cache.kScale.data)
        for (int32_t i = 0; i < n; ++i) logits[i] *= block->kScale[i];
      if (a.softCap > 0.0f) capLogits(t, logits, roundUp(n, kLanes));
      if (r < t.packed && (!unmasked || a.alibiSlopes.data))
        biasAndMask(t, r, k, n, unmasked ? lowBits(n) : visibleKeys(t, t.row(r), k, n), logits, 1);
      softmaxRow(f, r, n);
      if (a.cache.vScale.data)
        for (int32_t i = 0; i < n; ++i) logits[i] = logits[i] == 0.0f ? 0.0f : logits[i] * block->vScale[i];
    }
    for (int32_t i = 0; i < nextCount; ++i) prefetchRow(following->k[i], rowBytes);
    accumulateBlock<Cache, RB, kSelect>(f, *block, n, t.dim);
    k = nextKey;
    n = nextCount;
    KvBlock* swap = block;
    block = following;
    following = swap;
  }
}

bool allFinite(const float* values, int64_t count) {
  Vec zeros(0.0f);
  for (int64_t i = 0; i < count; i += kLanes) zeros = fma(load(values + i), Vec(0.0f), zeros);
  return reduceAdd(zeros) == 0.0f;
}

template <class Cache, int RB>
void fewRowsTask(const Task& t, WidenRow* widenRow, Context& context, int worker) {
  FewRows f;
  f.padded = roundUp(t.dim, kLanes);
  f.widenRow = widenRow;
  const int64_t widened = widenRow ? 2 * kTile * f.padded : 0;
  float* q = static_cast<float*>(
      context.scratch(worker, static_cast<size_t>(2 * RB * f.padded + RB * kLogitStride + widened) * sizeof(float)));
  f.q = q;
  f.sum = q + RB * f.padded;
  f.logits = f.sum + RB * f.padded;
  f.widened = f.logits + RB * kLogitStride;
  for (int64_t i = 0; i < RB * f.padded; ++i) q[i] = 0.0f;
  for (int32_t r = 0; r < t.packed; ++r) loadQuery(t, r, q + r * f.padded, 1);
  fewRowsPass<Cache, RB, false>(t, f);
  // A value that is not finite may have met a weight of 0; where it did, the product must not count.
  if (!allFinite(f.sum, t.packed * f.padded)) fewRowsPass<Cache, RB, true>(t, f);
  for (int32_t r = 0; r < t.packed; ++r) writeRow(t, r, f.sum + r * f.padded, f.top[r], f.denominator[r]);
}

template <class Cache>
void fewRows(const Task& t, WidenRow* widenRow, Context& context, int worker) {
  if (t.packed == 1) return fewRowsTask<Cache, 1>(t, widenRow, context, worker);
  if (t.packed == 2) return fewRowsTask<Cache, 2>(t, widenRow, context, worker);
  if (t.packed <= 4) return fewRowsTask<Cache, 4>(t, widenRow, context, worker);
  fewRowsTask<Cache, 8>(t, widenRow, context, worker);
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
