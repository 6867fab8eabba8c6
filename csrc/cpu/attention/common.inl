// SPDX-License-Identifier: Apache-2.0
/// @file What the attention kernels of one instruction set share: tasks, masks, addresses of keys, writing results.
#pragma once
#include <cmath>
#include <limits>

#include "cpu/attention/attention.h"
#include "cpu/kvcache/cache_row.h"
#include "cpu/rows.h"
#include "cpu/simd/unroll.h"
#include "cpu/simd/vec.h"

#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace pw::cpu::PW_ISA {
namespace {

/// Keys are visited in blocks that end at multiples of this, wherever an item begins: a row's rounding does not depend
/// on which rows share its item. One 64-bit word holds a row's mask over a block.
constexpr int kTile = 64;
constexpr int kLanes = Vec::kLanes;

constexpr float kNoLogit = -std::numeric_limits<float>::infinity();

/// One item of the plan for one kv head. `packed` rows: each query row times each head of the group.
struct Task {
  const pw_attention_args& a;
  const pw_attention_item& item;
  int32_t kvHead;
  int32_t group;
  int32_t packed;
  int32_t kvLength;
  int64_t dim;
  /// Of the only row of an item: the tokens of its tree that it sees, 0 without a tree. It sees them as if they were
  /// the next ones after `pathBegin`: its sums are those of the same tokens without a tree, bit by bit.
  uint64_t path = 0;
  int32_t pathBegin = 0;

  Task(const pw_attention_args& args, const pw_attention_item& i, int32_t head)
      : a(args),
        item(i),
        kvHead(head),
        group(args.plan.heads / args.plan.kvHeads),
        packed(i.rows * group),
        kvLength(args.plan.kvLengths[i.sequence]),
        dim(args.plan.headDim) {
    const pw_attention_plan& p = args.plan;
    if (!p.treeMasks || p.customBits || i.rows != 1 || p.treeLengths[i.sequence] == 0) return;
    path = p.treeMasks[i.rowBegin];
    pathBegin = kvLength - p.treeLengths[i.sequence];
  }
  int32_t row(int32_t packedRow) const { return item.rowBegin + packedRow / group; }
  int32_t head(int32_t packedRow) const { return kvHead * group + packedRow % group; }
};

int64_t roundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

int lowestBit(uint64_t x) {
#if defined(_MSC_VER)
  unsigned long index;
  _BitScanForward64(&index, x);
  return static_cast<int>(index);
#else
  return __builtin_ctzll(x);
#endif
}

int bitsSet(uint64_t x) {
  int count = 0;
  for (; x != 0; x &= x - 1) ++count;
  return count;
}

void prefetch(const char* p) {
#if defined(_MSC_VER) && defined(_M_X64)
  _mm_prefetch(p, _MM_HINT_T0);
#elif !defined(_MSC_VER)
  __builtin_prefetch(p, 0, 3);
#endif
}

/// The low n bits, 0 <= n <= 64.
uint64_t lowBits(int64_t n) { return n <= 0 ? 0 : n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; }

/// The keys that the only row of an item sees at most, in its own count.
int32_t pathEnd(const Task& t) { return t.pathBegin + bitsSet(t.path); }

/// Where key k is in the sequence.
int32_t keyPlace(const Task& t, int32_t k) {
  if (t.path == 0 || k < t.pathBegin) return k;
  uint64_t rest = t.path;
  for (int32_t i = t.pathBegin; i < k; ++i) rest &= rest - 1;
  return t.pathBegin + lowestBit(rest);
}

/// Bit i: does `row` see key k0 + i?  (0 <= i < n <= 64)
uint64_t visibleKeys(const Task& t, int32_t row, int32_t k0, int32_t n) {
  const pw_attention_plan& p = t.a.plan;
  const pw_row_mask& m = p.rowMasks[row];
  const int32_t sinks = p.sinkTokens < m.horizon ? p.sinkTokens : m.horizon;
  uint64_t bits = (lowBits(static_cast<int64_t>(m.horizon) - k0) & ~lowBits(static_cast<int64_t>(m.start) - k0)) |
                  lowBits(static_cast<int64_t>(sinks) - k0);
  if (t.path != 0) {
    bits = (bits & lowBits(static_cast<int64_t>(t.pathBegin) - k0)) | ~lowBits(static_cast<int64_t>(t.pathBegin) - k0);
  } else if (p.treeMasks) {
    const int32_t shift =
        t.kvLength - p.treeLengths[t.item.sequence] - k0;  // of the tree's first token within the block
    if (shift < n) {
      const uint64_t tree = p.treeMasks[row];
      bits = shift >= 0 ? (bits & lowBits(shift)) | tree << shift : tree >> -shift;
    }
  }
  if (p.customBits) {
    const int64_t first =
        p.customBegin[t.item.sequence] + static_cast<int64_t>(row - p.rowBegin[t.item.sequence]) * t.kvLength + k0;
    uint64_t low, high;
    std::memcpy(&low, p.customBits + first / 8, sizeof low);
    std::memcpy(&high, p.customBits + first / 8 + 8, sizeof high);
    const int offset = static_cast<int>(first % 8);
    bits &= offset == 0 ? low : low >> offset | high << (64 - offset);
  }
  return bits & lowBits(n);
}

/// Distance of `row` to a key that it sees, for ALiBi. In a tree: the number of nodes from the key's to the row's.
float distance(const Task& t, int32_t row, int32_t key) {
  const pw_attention_plan& p = t.a.plan;
  if (t.path != 0 && key >= t.pathBegin) return static_cast<float>(pathEnd(t) - 1 - key);
  const int32_t node = p.treeMasks ? key - (t.kvLength - p.treeLengths[t.item.sequence]) : -1;
  if (node >= 0) return static_cast<float>(bitsSet(p.treeMasks[row] & ~lowBits(node + 1)));
  const int32_t d = p.rowMasks[row].position - key;
  return static_cast<float>(d < 0 ? -d : d);
}

bool everyRowSees(const Task& t, int32_t k0, int32_t n) { return k0 >= t.item.fullBegin && k0 + n <= t.item.fullEnd; }

float headParameter(const pw_tensor& values, int32_t head) {
  return static_cast<const float*>(values.data)[head * values.strides[0]];
}

/// The next block of an item from key k on, 0 when there is none; moves k over the keys that no row sees.
int32_t nextBlock(const Task& t, int32_t* k) {
  if (*k >= t.item.skipBegin && *k < t.item.skipEnd) *k = t.item.skipEnd;
  const int32_t last = t.path != 0 && pathEnd(t) < t.item.kvEnd ? pathEnd(t) : t.item.kvEnd;
  if (*k >= last) return 0;
  int32_t end = (*k / kTile + 1) * kTile;
  if (end > last) end = last;
  if (*k < t.item.skipBegin && end > t.item.skipBegin && t.item.skipBegin < t.item.skipEnd) end = t.item.skipBegin;
  return end - *k;
}

/// Where the keys and values of a block lie.
struct KvBlock {
  const char* k[kTile];
  const char* v[kTile];
  float kScale[kTile + 16];
  float vScale[kTile + 16];
};

void locate(const Task& t, int32_t k0, int32_t n, KvBlock* block) {
  const pw_kv_layer& c = t.a.cache;
  const pw_attention_plan& p = t.a.plan;
  const int64_t kSize = pw_dtype_size(c.k.dtype), vSize = pw_dtype_size(c.v.dtype);
  const int32_t* pages = p.pages + p.pageBegin[t.item.sequence];
  for (int32_t i = 0; i < n;) {
    // Keys of one page follow each other, but those of a path through a tree.
    const int32_t key = keyPlace(t, k0 + i), before = t.path != 0 ? t.pathBegin - k0 : n;
    const int32_t end = i >= before ? i + 1 : before < n ? before : n;
    const int64_t page = pages[key / p.pageSize];
    int32_t offset = key % p.pageSize;
    const char* k = static_cast<const char*>(c.k.data) + (page * c.k.strides[0] + t.kvHead * c.k.strides[2]) * kSize;
    const char* v = static_cast<const char*>(c.v.data) + (page * c.v.strides[0] + t.kvHead * c.v.strides[2]) * vSize;
    for (; i < end && offset < p.pageSize; ++i, ++offset) {
      block->k[i] = k + offset * c.k.strides[1] * kSize;
      block->v[i] = v + offset * c.v.strides[1] * vSize;
      if (c.kScale.data) {
        const int64_t ks = page * c.kScale.strides[0] + offset * c.kScale.strides[1] + t.kvHead * c.kScale.strides[2];
        const int64_t vs = page * c.vScale.strides[0] + offset * c.vScale.strides[1] + t.kvHead * c.vScale.strides[2];
        block->kScale[i] = static_cast<const float*>(c.kScale.data)[ks];
        block->vScale[i] = static_cast<const float*>(c.vScale.data)[vs];
      }
    }
  }
}

/// A row of a cache times a scale as f32, zeros from `dim` to `padded`.
using WidenRow = void(const char* from, float scale, float* to, int64_t dim, int64_t padded);

template <class Cache>
void widenRow(const char* from, float scale, float* to, int64_t dim, int64_t padded) {
  const auto row = Cache::rowAt(from);
  const Vec s(scale);
  int64_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) store(to + d, load(row + d) * s);
  if (d < dim) store(to + d, loadPartial(row + d, dim - d) * s);
  for (d = roundUp(dim, kLanes); d < padded; ++d) to[d] = 0.0f;
}

/// One row of q times the softmax scale, as f32; `stride` apart, so that rows may become columns.
void loadQuery(const Task& t, int32_t packedRow, float* to, int64_t stride) {
  const pw_tensor& q = t.a.q;
  const int64_t at = t.row(packedRow) * q.strides[0] + t.head(packedRow) * q.strides[1];
  dispatchFloat(q.dtype, [&](auto* tag) {
    const auto* from = static_cast<decltype(tag)>(q.data) + at;
    for (int64_t d = 0; d < t.dim; ++d) to[d * stride] = toFloat(from[d]) * t.a.scale;
  });
}

/// tanh by Cephes' polynomial near 0 and by exp elsewhere; relative error below 3e-7.
Vec hyperbolicTangent(Vec x) {
  const Vec z = x * x, magnitude = max(x, Vec(0.0f) - x);
  Vec p(-5.70498872745e-3f);
  p = fma(p, z, Vec(2.06390887954e-2f));
  p = fma(p, z, Vec(-5.37397155531e-2f));
  p = fma(p, z, Vec(1.33314422036e-1f));
  p = fma(p, z, Vec(-3.33332819422e-1f));
  const Vec small = fma(p * z, x, x);
  const Vec large = Vec(1.0f) - Vec(2.0f) / (exp(magnitude + magnitude) + Vec(1.0f));
  return select(lessThan(magnitude, Vec(0.625f)), small, select(lessThan(x, Vec(0.0f)), Vec(0.0f) - large, large));
}

void capLogits(const Task& t, float* logits, int64_t count) {
  const Vec cap(t.a.softCap), inverse(1.0f / t.a.softCap);
  for (int64_t i = 0; i < count; i += kLanes) store(logits + i, cap * hyperbolicTangent(load(logits + i) * inverse));
}

/// ALiBi and the mask, for one packed row's logits of a block, `stride` apart.
void biasAndMask(const Task& t, int32_t packedRow, int32_t k0, int32_t n, uint64_t visible, float* logits,
                 int64_t stride) {
  if (t.a.alibiSlopes.data) {
    const float slope = headParameter(t.a.alibiSlopes, t.head(packedRow));
    for (int32_t i = 0; i < n; ++i) logits[i * stride] -= slope * distance(t, t.row(packedRow), k0 + i);
  }
  for (uint64_t hidden = ~visible & lowBits(n); hidden != 0; hidden &= hidden - 1)
    logits[lowestBit(hidden) * stride] = kNoLogit;
}

template <class T>
void storeRow(T* out, const float* values, float scale, int64_t dim) {
  int64_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) store(out + d, load(values + d) * Vec(scale));
  if (d < dim) storePartial(out + d, load(values + d) * Vec(scale), dim - d);
}

/// Writes one finished row: `sum` (readable up to the next multiple of the lanes) weighted by exponentials relative to
/// `top`, whose sum is `denominator`.
void finishRow(const pw_attention_args& a, int64_t row, int32_t head, const float* sum, float top, float denominator) {
  float scale = denominator == 0.0f ? 0.0f : 1.0f / denominator;
  double lse = denominator == 0.0f ? static_cast<double>(kNoLogit) : top + std::log(static_cast<double>(denominator));
  if (a.sinks.data) {
    const double sink = headParameter(a.sinks, head);
    const double larger = lse > sink ? lse : sink;
    const double joint = larger + std::log(std::exp(lse - larger) + std::exp(sink - larger));
    scale = denominator == 0.0f ? 0.0f : scale * static_cast<float>(std::exp(lse - joint));
    lse = joint;
  }
  const int64_t at = row * a.out.strides[0] + head * a.out.strides[1];
  dispatchFloat(a.out.dtype,
                [&](auto* tag) { storeRow(static_cast<decltype(tag)>(a.out.data) + at, sum, scale, a.plan.headDim); });
  if (a.lse.data)
    static_cast<float*>(a.lse.data)[row * a.lse.strides[0] + head * a.lse.strides[1]] = static_cast<float>(lse);
}

/// Partial results in the workspace: [partialRows, heads, dim] sums, then [partialRows, heads, 2] (top, denominator).
float* partialSum(const pw_attention_args& a, int64_t partialRow, int32_t head) {
  return static_cast<float*>(a.workspace.data) + (partialRow * a.plan.heads + head) * a.plan.headDim;
}
float* partialState(const pw_attention_args& a, int64_t partialRow, int32_t head) {
  return static_cast<float*>(a.workspace.data) + a.plan.partialRows * a.plan.heads * a.plan.headDim +
         (partialRow * a.plan.heads + head) * 2;
}

void writeRow(const Task& t, int32_t packedRow, const float* sum, float top, float denominator) {
  const int32_t head = t.head(packedRow);
  if (t.item.partial < 0) return finishRow(t.a, t.row(packedRow), head, sum, top, denominator);
  const int64_t partialRow = t.item.partial + packedRow / t.group;
  storeRow(partialSum(t.a, partialRow, head), sum, 1.0f, t.dim);
  float* state = partialState(t.a, partialRow, head);
  state[0] = top;
  state[1] = denominator;
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
