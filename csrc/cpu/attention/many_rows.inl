// SPDX-License-Identifier: Apache-2.0
/// @file Attention of more than 8 packed rows: prefill and wide verification. Lanes run along the rows: queries, logits
/// and sums are held transposed ([head dimension or key][row]), so that scores are outer products of key elements and
/// query columns, and the softmax needs no sum across lanes. A block's keys and values become f32 once for all rows.
#pragma once
#include "cpu/attention/few_rows.inl"

namespace pw::cpu::PW_ISA {
namespace {

/// Registers of rows that a micro-kernel takes at a time.
constexpr int kRowVecs = kLanes == 16 ? 4 : 2;
constexpr int kMostPerStep = 8;

struct ManyRows {
  int64_t rows;                        // packed rows, padded to whole registers
  int64_t padded;                      // head dimension, padded to whole registers
  float* q;                            // [dim][rows]
  float* k;                            // [kTile + 8][padded]
  float* v;                            // [kTile][padded]
  float* weights;                      // [kTile + 8][rows]: logits, then weights
  float* sum;                          // [padded][rows]
  float *top, *denominator, *rescale;  // [rows]
};

/// out[i][rows r ...] = sum over d of key[i][d] * q[d][r ...] for KEYS keys and RV registers of rows.
template <int KEYS, int RV>
void scoreStep(const float* key, int64_t keyStride, const float* q, int64_t rows, int64_t dim, float* out) {
  Vec acc[KEYS][RV];
  PW_IN_REGISTERS
  for (int i = 0; i < KEYS; ++i) PW_IN_REGISTERS
  for (int j = 0; j < RV; ++j) acc[i][j] = Vec(0.0f);
  for (int64_t d = 0; d < dim; ++d) {
    Vec column[RV];
    PW_IN_REGISTERS
    for (int j = 0; j < RV; ++j) column[j] = load(q + d * rows + j * kLanes);
    PW_IN_REGISTERS
    for (int i = 0; i < KEYS; ++i) {
      const Vec element(key[i * keyStride + d]);
      PW_IN_REGISTERS
      for (int j = 0; j < RV; ++j) acc[i][j] = fma(element, column[j], acc[i][j]);
    }
  }
  PW_IN_REGISTERS
  for (int i = 0; i < KEYS; ++i) PW_IN_REGISTERS
  for (int j = 0; j < RV; ++j) store(out + i * rows + j * kLanes, acc[i][j]);
}

/// sum[d + c][rows r ...] = sum * rescale + sum over keys of weights[key][r ...] * v[key][d + c].
template <int COLUMNS, int RV, bool kSelect>
void accumulateStep(const float* v, int64_t valueStride, const float* weights, const float* rescale, int64_t rows,
                    int32_t n, float* sum) {
  Vec acc[COLUMNS][RV];
  PW_IN_REGISTERS
  for (int c = 0; c < COLUMNS; ++c) PW_IN_REGISTERS
  for (int j = 0; j < RV; ++j) acc[c][j] = load(sum + c * rows + j * kLanes) * load(rescale + j * kLanes);
  for (int32_t i = 0; i < n; ++i) {
    Vec weight[RV];
    PW_IN_REGISTERS
    for (int j = 0; j < RV; ++j) weight[j] = load(weights + i * rows + j * kLanes);
    PW_IN_REGISTERS
    for (int c = 0; c < COLUMNS; ++c) {
      const Vec value(v[i * valueStride + c]);
      PW_IN_REGISTERS
      for (int j = 0; j < RV; ++j) {
        const Vec next = fma(value, weight[j], acc[c][j]);
        acc[c][j] =
            kSelect ? select(lessThan(Vec(0.0f), weight[j]), next, select(isNaN(weight[j]), next, acc[c][j])) : next;
      }
    }
  }
  PW_IN_REGISTERS
  for (int c = 0; c < COLUMNS; ++c) PW_IN_REGISTERS
  for (int j = 0; j < RV; ++j) store(sum + c * rows + j * kLanes, acc[c][j]);
}

template <int RV>
void scoreRows(const ManyRows& m, int64_t r, int32_t n, int64_t dim) {
  constexpr int kKeys = RV <= 2 && kLanes == 16 ? 8 : RV == 1 ? 8 : 4;
  for (int32_t i = 0; i < n; i += kKeys)
    scoreStep<kKeys, RV>(m.k + i * m.padded, m.padded, m.q + r, m.rows, dim, m.weights + i * m.rows + r);
}

template <int RV, bool kSelect>
void accumulateRows(const ManyRows& m, int64_t r, int32_t n) {
  constexpr int kColumns = RV <= 2 && kLanes == 16 ? 8 : RV == 1 ? 8 : 4;
  for (int64_t d = 0; d < m.padded; d += kColumns)
    accumulateStep<kColumns, RV, kSelect>(m.v + d, m.padded, m.weights + r, m.rescale + r, m.rows, n,
                                          m.sum + d * m.rows + r);
}

/// Calls step(r, registers) over all rows, in runs of kRowVecs registers; `registers` is a std::integral_constant's
/// like.
template <int N>
struct Registers {
  static constexpr int value = N;
};
template <class F>
void forRowRegisters(int64_t rows, F&& step) {
  int64_t r = 0;
  for (; r + kRowVecs * kLanes <= rows; r += kRowVecs * kLanes) step(r, Registers<kRowVecs>());
  const int64_t rest = (rows - r) / kLanes;
  if (rest == 3) step(r, Registers<(kRowVecs > 3 ? 3 : 1)>());
  if (rest == 2) step(r, Registers<(kRowVecs > 2 ? 2 : 1)>());
  if (rest == 1) step(r, Registers<1>());
}

void softmaxColumns(const ManyRows& m, int32_t n) {
  for (int64_t r = 0; r < m.rows; r += kLanes) {
    float* column = m.weights + r;
    const Vec before = load(m.top + r);
    Vec top = before;
    for (int32_t i = 0; i < n; ++i) top = max(top, load(column + i * m.rows));
    const Vec base = select(lessThan(top, Vec(-3.0e38f)), Vec(0.0f), top);
    const Vec rescale = exp(before - base);
    Vec total(0.0f);
    for (int32_t i = 0; i < n; ++i) {
      const Vec weight = exp(load(column + i * m.rows) - base);
      total = total + weight;
      store(column + i * m.rows, weight);
    }
    store(m.top + r, top);
    store(m.rescale + r, rescale);
    store(m.denominator + r, fma(load(m.denominator + r), rescale, total));
  }
}

void widenBlock(const Task& t, WidenRow* widenRow, const ManyRows& m, int32_t k0, int32_t n) {
  KvBlock block;
  locate(t, k0, n, &block);
  const bool scaled = t.a.cache.kScale.data != nullptr;
  for (int32_t i = 0; i < n; ++i) {
    widenRow(block.k[i], scaled ? block.kScale[i] : 1.0f, m.k + i * m.padded, t.dim, m.padded);
    widenRow(block.v[i], scaled ? block.vScale[i] : 1.0f, m.v + i * m.padded, t.dim, m.padded);
  }
}

template <bool kSelect>
void manyRowsPass(const Task& t, WidenRow* widenRow, const ManyRows& m) {
  for (int64_t r = 0; r < m.rows; ++r) {
    m.top[r] = kNoLogit;
    m.denominator[r] = 0.0f;
  }
  for (int64_t i = 0; i < m.padded * m.rows; ++i) m.sum[i] = 0.0f;
  int32_t k = t.item.kvBegin;
  for (int32_t n; (n = nextBlock(t, &k)) > 0; k += n) {
    widenBlock(t, widenRow, m, k, n);
    forRowRegisters(m.rows, [&](int64_t r, auto registers) { scoreRows<decltype(registers)::value>(m, r, n, t.dim); });
    if (t.a.softCap > 0.0f) capLogits(t, m.weights, n * m.rows);
    const bool unmasked = everyRowSees(t, k, n);
    if (!unmasked || t.a.alibiSlopes.data)
      for (int32_t r = 0; r < t.packed; r += t.group) {
        const uint64_t visible = unmasked ? lowBits(n) : visibleKeys(t, t.row(r), k, n);
        for (int32_t g = 0; g < t.group; ++g) biasAndMask(t, r + g, k, n, visible, m.weights + r + g, m.rows);
      }
    softmaxColumns(m, n);
    forRowRegisters(m.rows,
                    [&](int64_t r, auto registers) { accumulateRows<decltype(registers)::value, kSelect>(m, r, n); });
  }
}

void manyRows(const Task& t, WidenRow* widenRow, Context& context, int worker) {
  ManyRows m;
  m.rows = roundUp(t.packed, kLanes);
  m.padded = roundUp(t.dim, kLanes);
  const int64_t perRow = t.dim + (kTile + kMostPerStep) + m.padded + 3, perColumn = 2 * kTile + kMostPerStep;
  float* next = static_cast<float*>(
      context.scratch(worker, static_cast<size_t>(m.rows * perRow + m.padded * (perColumn + 1)) * sizeof(float)));
  const auto take = [&](int64_t count) {
    float* p = next;
    next += count;
    return p;
  };
  m.q = take(t.dim * m.rows);
  m.k = take((kTile + kMostPerStep) * m.padded);
  m.v = take(kTile * m.padded);
  m.weights = take((kTile + kMostPerStep) * m.rows);
  m.sum = take(m.padded * m.rows);
  m.top = take(m.rows);
  m.denominator = take(m.rows);
  m.rescale = take(m.rows);
  for (int32_t r = 0; r < t.packed; ++r) loadQuery(t, r, m.q + r, m.rows);
  for (int64_t d = 0; d < t.dim; ++d)
    for (int64_t r = t.packed; r < m.rows; ++r) m.q[d * m.rows + r] = 0.0f;
  manyRowsPass<false>(t, widenRow, m);
  float* row = m.k;  // no longer needed: one row at a time, untransposed
  bool finite = true;
  for (int64_t d = 0; d < t.dim && finite; ++d) finite = allFinite(m.sum + d * m.rows, m.rows);
  if (!finite) manyRowsPass<true>(t, widenRow, m);
  for (int32_t r = 0; r < t.packed; ++r) {
    for (int64_t d = 0; d < m.padded; ++d) row[d] = m.sum[d * m.rows + r];
    writeRow(t, r, row, m.top[r], m.denominator[r]);
  }
}

}  // namespace
}  // namespace pw::cpu::PW_ISA
