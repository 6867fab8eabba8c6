// SPDX-License-Identifier: Apache-2.0
/// @file The contract in float64: one row, one head, one key after the other; no split, no workspace.
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/attention/attention.h"
#include "cpu/rows.h"
#include "pagewarp/kv_codes.h"

namespace pw::cpu::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// One key's or value's row of a kv head, dequantised on access.
struct CacheRow {
  const uint8_t* data;
  pw_kv_type type;
  pw_dtype dtype;
  double scale;
  double operator[](int64_t d) const {
    return pw_kv_is_codes(type) ? pw_kv_decode(type, data, d) * scale : readElement(data, dtype, d);
  }
};

CacheRow cacheRow(pw_kv_type type, const pw_tensor& pool, const pw_tensor& scales, int64_t page, int64_t offset,
                  int64_t head) {
  const int64_t at = page * pool.strides[0] + offset * pool.strides[1] + head * pool.strides[2];
  double scale = 1;
  if (scales.data)
    scale = static_cast<const float*>(
        scales.data)[page * scales.strides[0] + offset * scales.strides[1] + head * scales.strides[2]];
  return {static_cast<const uint8_t*>(pool.data) + at * pw_dtype_size(pool.dtype), type, pool.dtype, scale};
}

int bitsSet(uint64_t x) {
  int count = 0;
  for (; x != 0; x &= x - 1) ++count;
  return count;
}

struct Visibility {
  bool visible;
  double distance;
};

Visibility look(const pw_attention_plan& p, int32_t sequence, int32_t row, int32_t key) {
  const pw_row_mask& m = p.rowMasks[row];
  const int32_t tree = p.treeMasks ? p.treeLengths[sequence] : 0, node = key - (p.kvLengths[sequence] - tree);
  if (node >= 0) {
    const uint64_t mask = p.treeMasks[row];
    return {((mask >> node) & 1) != 0, static_cast<double>(bitsSet(mask & ~((uint64_t{2} << node) - 1)))};
  }
  bool visible = key < m.horizon && (key >= m.start || key < p.sinkTokens);
  if (p.customBits) {
    const int64_t bit =
        p.customBegin[sequence] + static_cast<int64_t>(row - p.rowBegin[sequence]) * p.kvLengths[sequence] + key;
    visible = visible && ((p.customBits[bit / 8] >> (bit % 8)) & 1) != 0;
  }
  return {visible, std::abs(static_cast<double>(m.position) - key)};
}

void attendRow(const pw_attention_args& a, int32_t sequence, int32_t row, int32_t head) {
  const pw_attention_plan& p = a.plan;
  const int64_t dim = p.headDim, kvHead = head / (p.heads / p.kvHeads);
  const char* q =
      static_cast<const char*>(a.q.data) + (row * a.q.strides[0] + head * a.q.strides[1]) * pw_dtype_size(a.q.dtype);
  const double sink = a.sinks.data ? static_cast<const float*>(a.sinks.data)[head * a.sinks.strides[0]] : -kInfinity;
  const double slope =
      a.alibiSlopes.data ? static_cast<const float*>(a.alibiSlopes.data)[head * a.alibiSlopes.strides[0]] : 0;

  std::vector<double> logits(static_cast<size_t>(p.kvLengths[sequence]), -kInfinity);
  std::vector<bool> seen(logits.size(), false);
  double top = sink;
  for (int32_t key = 0; key < p.kvLengths[sequence]; ++key) {
    const Visibility v = look(p, sequence, row, key);
    if (!v.visible) continue;
    const size_t j = static_cast<size_t>(key);
    const int64_t page = p.pages[p.pageBegin[sequence] + key / p.pageSize];
    const CacheRow k = cacheRow(a.cache.type, a.cache.k, a.cache.kScale, page, key % p.pageSize, kvHead);
    double dot = 0;
    for (int64_t d = 0; d < dim; ++d) dot += readElement(q, a.q.dtype, d) * k[d];
    logits[j] = dot * a.scale;
    if (a.softCap > 0) logits[j] = a.softCap * std::tanh(logits[j] / a.softCap);
    if (a.alibiSlopes.data) logits[j] -= slope * v.distance;
    seen[j] = true;
    if (!(logits[j] <= top)) top = logits[j];
  }
  std::vector<double> sum(static_cast<size_t>(dim), 0);
  double denominator = sink == -kInfinity ? 0 : std::exp(sink - top);
  for (int32_t key = 0; key < p.kvLengths[sequence]; ++key) {
    const size_t j = static_cast<size_t>(key);
    if (!seen[j] || logits[j] == -kInfinity) continue;
    const double weight = std::exp(logits[j] - top);
    denominator += weight;
    const int64_t page = p.pages[p.pageBegin[sequence] + key / p.pageSize];
    const CacheRow v = cacheRow(a.cache.type, a.cache.v, a.cache.vScale, page, key % p.pageSize, kvHead);
    for (int64_t d = 0; d < dim; ++d) sum[static_cast<size_t>(d)] += weight * v[d];
  }
  void* out = rowPointer(a.out, static_cast<int64_t>(row) * p.heads + head);
  for (int64_t d = 0; d < dim; ++d)
    writeElement(out, a.out.dtype, d, denominator == 0 ? 0 : sum[static_cast<size_t>(d)] / denominator);
  if (a.lse.data)
    static_cast<float*>(a.lse.data)[row * a.lse.strides[0] + head * a.lse.strides[1]] =
        static_cast<float>(denominator == 0 ? -kInfinity : top + std::log(denominator));
}

}  // namespace

void attention(const pw_attention_args& a, Context&) {
  const pw_attention_plan& p = a.plan;
  for (int32_t s = 0; s < p.sequences; ++s)
    for (int32_t row = p.rowBegin[s]; row < p.rowBegin[s + 1]; ++row)
      for (int32_t head = 0; head < p.heads; ++head) attendRow(a, s, row, head);
}

void mergeStates(const pw_merge_states_args& a, Context&) {
  const int64_t parts = a.outs.shape[0], heads = a.outs.shape[2], states = a.outs.shape[1] * heads,
                dim = a.outs.shape[3];
  for (int64_t state = 0; state < states; ++state) {
    const auto lse = [&](int64_t part) -> double {
      return static_cast<const float*>(a.lses.data)[part * a.lses.strides[0] + state / heads * a.lses.strides[1] +
                                                    state % heads * a.lses.strides[2]];
    };
    double top = -kInfinity, denominator = 0;
    for (int64_t part = 0; part < parts; ++part)
      if (!(lse(part) <= top)) top = lse(part);
    std::vector<double> sum(static_cast<size_t>(dim), 0);
    for (int64_t part = 0; part < parts; ++part) {
      if (lse(part) == -kInfinity) continue;
      const double weight = std::exp(lse(part) - top);
      denominator += weight;
      const void* from = rowPointer(a.outs, part * states + state);
      for (int64_t d = 0; d < dim; ++d) sum[static_cast<size_t>(d)] += weight * readElement(from, a.outs.dtype, d);
    }
    void* out = rowPointer(a.out, state);
    for (int64_t d = 0; d < dim; ++d)
      writeElement(out, a.out.dtype, d, denominator == 0 ? 0 : sum[static_cast<size_t>(d)] / denominator);
    if (a.lse.data)
      static_cast<float*>(a.lse.data)[state / heads * a.lse.strides[0] + state % heads * a.lse.strides[1]] =
          static_cast<float>(denominator == 0 ? -kInfinity : top + std::log(denominator));
  }
}

}  // namespace pw::cpu::reference
