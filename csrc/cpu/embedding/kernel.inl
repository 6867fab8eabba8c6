// SPDX-License-Identifier: Apache-2.0
#include "core/matrix/dequantize.h"
#include "cpu/embedding/embedding.h"
#include "cpu/embedding/gather.h"
#include "cpu/simd/vec.h"

namespace pw::cpu::PW_ISA {
namespace {

template <class W, class O>
void convertRow(const W* from, int64_t k, O* to) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= k; i += Vec::kLanes) store(to + i, load(from + i));
  for (; i < k; ++i) fromFloat(toFloat(from[i]), to + i);
}

constexpr int kHalf = kGroup / 2;
static_assert(kHalf % Vec::kLanes == 0);

template <class O>
void scaleGroup(const RowGroup& group, O* to) {
  for (int i = 0; i < kGroup; i += Vec::kLanes)
    store(to + i, load(group.level + i) * Vec(group.scale[i / kHalf]) + Vec(group.minimum[i / kHalf]));
}

template <class O>
void unpackRow(const pw_matrix& m, int64_t row, O* to) {
  const PackedRow packed(m, row);
  RowGroup group;
  for (int64_t column = 0; column < m.k; column += kGroup) {
    packed.read(column, &group);
    if (!m.order) {
      scaleGroup(group, to + column);
      continue;
    }
    float values[kGroup];
    scaleGroup(group, values);
    for (int i = 0; i < kGroup; ++i) fromFloat(values[i], to + m.order[column + i]);
  }
}

template <class O>
void embeddingRow(const pw_matrix& m, int64_t row, O* to) {
  switch (m.format) {
    case PW_MATRIX_F32:
      return convertRow(static_cast<const float*>(m.data) + row * m.k, m.k, to);
    case PW_MATRIX_F16:
      return convertRow(static_cast<const Half*>(m.data) + row * m.k, m.k, to);
    case PW_MATRIX_BF16:
      return convertRow(static_cast<const BFloat*>(m.data) + row * m.k, m.k, to);
    default:
      return unpackRow(m, row, to);
  }
}

}  // namespace

void embedding(const pw_embedding_args& a, Context& context) {
  dispatchFloat(a.out.dtype, [&](auto* tag) {
    gather(a.ids, embeddingSource(a), a.out, context,
           [&](int64_t id, void* to) { embeddingRow(a.weight, id, static_cast<decltype(tag)>(to)); });
  });
}

}  // namespace pw::cpu::PW_ISA
